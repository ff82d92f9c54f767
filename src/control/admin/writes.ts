/**
 * Writes: the requests of the admin API that change something, and those that ask by POST.
 *
 * Rules
 * 1. A change is taken from this machine only: over a unix socket, or from a loopback address. What a proxy passed on is from somewhere else,
 *    whatever its connection says, so a request with a proxy's fields is refused.
 * 2. A browser sends Origin or Sec-Fetch-Site with every POST: guard.ts refuses a foreign Origin, this file a foreign site. Bodies are JSON and
 *    nothing else, so that no HTML form can make one.
 * 3. `If-Match` with an epoch that is not in force any more is 412.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { EndpointPlan, PoolPlan } from '../../state/plan.ts';
import { readDuration } from '../config/units.ts';
import { explain, explainRequest } from '../explain/explain.ts';
import { endpointOf, type View } from './api.ts';
import type { ControlState } from './control-state.ts';
import { DRAIN_MS_MAX } from './drains.ts';
import { type Order, type OrderState, orderStates, REASON_CHARS_MAX, WEIGHT_PERCENT_MAX } from './orders.ts';
import { problem } from './problem.ts';

/** Out for longer than this is maintenance. */
const EJECT_MS_MAX = 24 * 3_600_000;
/** The longest is EJECT_MS_MAX, and DRAIN_MS_MAX. */
const SPAN_EXPECTED = 'is a duration with a unit, for example "30s" or "5m", at most "24h"';

/** Fields by which a request shows that it came through a proxy. */
const proxyFields = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip'] as const;

interface EndpointParams {
  pool: string;
  endpoint: string;
}

/** Why this request may not change anything, or null. */
export function writeRefusal(request: FastifyRequest): string | null {
  const { remoteAddress } = request.socket;
  // A unix socket has no address.
  if (remoteAddress !== undefined && !isLoopback(remoteAddress)) return 'changes are taken from this machine only';
  const through = proxyFields.find((name) => request.headers[name] !== undefined);
  if (through !== undefined) return `changes are not taken through a proxy (the request has ${through})`;
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'changes are not taken from other sites';
  return null;
}

/** 127.0.0.0/8 and ::1, also as an IPv4-mapped address (dual-stack sockets report those). */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(address);
}

export function addWrites(app: FastifyInstance, view: View): void {
  const { state } = view;
  // Rule 2: what an HTML form can send is not read.
  app.removeContentTypeParser('text/plain');
  for (const to of ['ready', 'maint']) {
    app.post<{ Params: EndpointParams }>(`/api/v1/pools/:pool/endpoints/:endpoint/${to}`, async (request, reply) =>
      change(view, request, reply, { ...fieldsOf(request.body), state: to }),
    );
  }
  app.post<{ Params: EndpointParams }>('/api/v1/pools/:pool/endpoints/:endpoint/drain', async (request, reply) =>
    drain(state, request, reply),
  );
  app.post<{ Params: EndpointParams }>('/api/v1/pools/:pool/endpoints/:endpoint/check', async (request, reply) => {
    const found = target(state, request);
    if ('status' in found) return problem(reply, found.status, found.detail);
    const { pool, endpoint } = found;
    if (!state.checkNow(endpoint.slot)) return problem(reply, 409, `pool ${pool.name} has no health checks`);
    // Its result comes later: in the counts of checks, and in the state if it changes that.
    return reply.code(202).send({ pool: pool.name, ...endpointOf(view, pool, endpoint) });
  });
  app.post<{ Params: EndpointParams }>('/api/v1/pools/:pool/endpoints/:endpoint/eject', async (request, reply) =>
    eject(view, request, reply),
  );
  app.delete<{ Params: { id: string } }>('/api/v1/drains/:id', async (request, reply) => {
    const { id } = request.params;
    const why = conditionRefusal(state, request);
    if (why !== null) return problem(reply, why.status, why.detail);
    const cancelled = state.drains.cancel(id, callerOf(request));
    if (cancelled !== null) return cancelled;
    const ended = state.drains.find(id);
    return ended === null
      ? problem(reply, 404, `there is no drain ${id}`)
      : problem(reply, 409, `drain ${id} of ${ended.pool}/${ended.endpoint} is over: ${ended.state}`);
  });
  app.patch<{ Params: EndpointParams }>('/api/v1/pools/:pool/endpoints/:endpoint', async (request, reply) =>
    change(view, request, reply, fieldsOf(request.body)),
  );
  app.post('/api/v1/explain', async (request, reply) => {
    const plan = state.plan();
    if (plan === null) return problem(reply, 404, 'no configuration is in force yet');
    const asked = explainRequest(request.body);
    if (typeof asked === 'string') return problem(reply, 400, asked);
    const explained = explain(plan, state.tally, asked, {
      draw: () => Math.trunc(Math.random() * 2 ** 32),
      why: (slot) => state.endpointNote(slot)?.why ?? null,
    });
    return typeof explained === 'string' ? problem(reply, 404, explained) : explained;
  });
}

interface Change {
  state?: unknown;
  weight?: unknown;
  reason?: unknown;
}

const changeKeys: readonly string[] = ['state', 'weight', 'reason'];

function fieldsOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : {};
}

/** The endpoint that a path names, or why there is none. */
export function findEndpoint(
  pools: readonly PoolPlan[],
  { pool: poolName, endpoint: address }: EndpointParams,
): { pool: PoolPlan; endpoint: EndpointPlan } | string {
  const pool = pools.find(({ name }) => name === poolName);
  if (pool === undefined) return `there is no pool named ${poolName}`;
  const endpoint = pool.endpoints.find((candidate) => candidate.address === address);
  if (endpoint === undefined) return `pool ${poolName} has no endpoint ${address}`;
  return { pool, endpoint };
}

interface Refused {
  status: number;
  detail: string;
}

/** Why the conditions of a change do not hold. */
function conditionRefusal(state: ControlState, request: FastifyRequest): Refused | null {
  const epoch = request.headers['if-match'];
  if (epoch !== undefined && epoch !== '*' && epoch !== `"${state.tally.epoch()}"`)
    return { status: 412, detail: `epoch ${state.tally.epoch()} is in force` };
  // A parameter that is not understood might be the one that says "do not really do it".
  const [unknownParameter] = Object.keys(request.query as object);
  return unknownParameter === undefined ? null : { status: 400, detail: `there is no parameter ${unknownParameter}` };
}

/** Who asked. */
function callerOf(request: FastifyRequest): string {
  return request.socket.remoteAddress ?? 'unix socket';
}

/** The endpoint that is to be changed, or why nothing is. */
function target(
  state: ControlState,
  request: FastifyRequest<{ Params: EndpointParams }>,
): { pool: PoolPlan; endpoint: EndpointPlan } | Refused {
  const why = conditionRefusal(state, request);
  if (why !== null) return why;
  const found = findEndpoint(state.plan()?.pools ?? [], request.params);
  if (typeof found === 'string') return { status: 404, detail: found };
  return found.endpoint.slot < 0 ? { status: 404, detail: 'it has no slot in the state table' } : found;
}

/** Endpoints of a pool that take new requests. */
function readyIn({ tally }: ControlState, pool: PoolPlan): number {
  const takes = pool.endpoints.filter(
    ({ slot, weight }) => slot >= 0 && tally.isReady(slot) && weight * tally.weightPercent(slot) > 0,
  );
  return new Set(takes.map(({ slot }) => slot)).size;
}

function orderOf(request: FastifyRequest, { name }: PoolPlan, { address, slot }: EndpointPlan, reason: string | null): Order {
  return { pool: name, endpoint: address, slot, reason, by: callerOf(request) };
}

function change(
  view: View,
  request: FastifyRequest<{ Params: EndpointParams }>,
  reply: FastifyReply,
  body: Record<string, unknown>,
): unknown {
  const { state } = view;
  const found = target(state, request);
  if ('status' in found) return problem(reply, found.status, found.detail);
  const { pool, endpoint } = found;
  const checked = checkChange(body);
  if (typeof checked === 'string') return problem(reply, 400, checked);
  const order = orderOf(request, pool, endpoint, checked.reason);
  if (checked.percent !== null) state.orders.setWeight(order, checked.percent);
  if (checked.state === 'drain') state.drains.begin(order, {});
  else if (checked.state !== null) state.orders.setState(order, checked.state);
  state.drains.look();
  return { pool: pool.name, ...endpointOf(view, pool, endpoint), readyInPool: readyIn(state, pool) };
}

function drain(state: ControlState, request: FastifyRequest<{ Params: EndpointParams }>, reply: FastifyReply): unknown {
  const found = target(state, request);
  if ('status' in found) return problem(reply, found.status, found.detail);
  const { pool, endpoint } = found;
  const wish = checkDrain(fieldsOf(request.body));
  if (typeof wish === 'string') return problem(reply, 400, wish);
  const row = state.drains.begin(orderOf(request, pool, endpoint, wish.reason), wish);
  return { ...row, readyInPool: readyIn(state, pool) };
}

const ejectKeys: readonly string[] = ['for', 'reason'];

function eject(view: View, request: FastifyRequest<{ Params: EndpointParams }>, reply: FastifyReply): unknown {
  const { state } = view;
  const found = target(state, request);
  if ('status' in found) return problem(reply, found.status, found.detail);
  const { pool, endpoint } = found;
  const wish = checkEject(fieldsOf(request.body));
  if (typeof wish === 'string') return problem(reply, 400, wish);
  const why = state.eject(orderOf(request, pool, endpoint, wish.reason), wish.forMs);
  if (why !== null) return problem(reply, 409, why);
  return { pool: pool.name, ...endpointOf(view, pool, endpoint), readyInPool: readyIn(state, pool) };
}

/** What is wished of an ejection, or what is wrong with it. */
function checkEject(body: Record<string, unknown>): { forMs: number | null; reason: string | null } | string {
  const unknownKey = unknownIn(body, ejectKeys);
  if (unknownKey !== null) return unknownKey;
  const forMs = checkSpan(body['for'], EJECT_MS_MAX);
  if (forMs === null || forMs === 0) return `for ${SPAN_EXPECTED}`;
  const reason = checkReason(body['reason']);
  return typeof reason === 'string' ? reason : { forMs: forMs ?? null, reason: reason.text };
}

/** What is wrong with the keys, or null. */
function unknownIn(body: Record<string, unknown>, known: readonly string[]): string | null {
  const key = Object.keys(body).find((candidate) => !known.includes(candidate));
  return key === undefined ? null : `unknown key ${key}; known are ${known.join(', ')}`;
}

/** A duration in ms; undefined: none is given; null: it is none, or too long. */
function checkSpan(value: unknown, msMax: number): number | undefined | null {
  if (value === undefined) return undefined;
  const read = typeof value === 'string' ? readDuration(value) : null;
  return read === null || !read.ok || read.value > msMax ? null : read.value;
}

const drainKeys: readonly string[] = ['timeout', 'reason', 'keepBound'];

/** What is wished of a drain, or what is wrong with it. */
function checkDrain(
  body: Record<string, unknown>,
): { timeoutMs: number | undefined; keepBound: boolean | undefined; reason: string | null } | string {
  const unknownKey = unknownIn(body, drainKeys);
  if (unknownKey !== null) return unknownKey;
  const { timeout, keepBound } = body;
  const timeoutMs = checkSpan(timeout, DRAIN_MS_MAX);
  if (timeoutMs === null) return `timeout ${SPAN_EXPECTED}`;
  if (keepBound !== undefined && typeof keepBound !== 'boolean') return 'keepBound is true or false';
  const reason = checkReason(body['reason']);
  return typeof reason === 'string' ? reason : { timeoutMs, keepBound, reason: reason.text };
}

/** A reason fit for a log, or what is wrong with it. */
function checkReason(reason: unknown): { text: string | null } | string {
  if (reason !== undefined && reason !== null && typeof reason !== 'string') return 'reason is a text';
  const text = (reason ?? '').replace(/\p{Cc}/gu, ' ').trim();
  if (text.length > REASON_CHARS_MAX) return `reason has more than ${REASON_CHARS_MAX} characters`;
  return { text: text === '' ? null : text };
}

/** A change in numbers, or what is wrong with it. */
function checkChange(
  body: Record<string, unknown>,
): { state: OrderState | null; percent: number | null; reason: string | null } | string {
  const unknownKey = unknownIn(body, changeKeys);
  if (unknownKey !== null) return unknownKey;
  const { state, weight, reason } = body as Change;
  if (state === undefined && weight === undefined) return 'nothing is to be changed: give state or weight';
  if (state !== undefined && !orderStates.includes(state as OrderState)) return `state is one of ${orderStates.join(', ')}`;
  let percent: number | null = null;
  if (weight !== undefined) {
    const text = typeof weight === 'string' ? /^(\d{1,4})%$/.exec(weight) : null;
    percent = text === null ? Number.NaN : Number(text[1]);
    if (!(percent <= WEIGHT_PERCENT_MAX))
      return `weight is a whole share of the configured one from "0%" to "${WEIGHT_PERCENT_MAX}%"`;
  }
  const why = checkReason(reason);
  return typeof why === 'string' ? why : { state: (state as OrderState | undefined) ?? null, percent, reason: why.text };
}
