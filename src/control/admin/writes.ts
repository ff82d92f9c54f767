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
import { explain, explainRequest } from '../explain/explain.ts';
import { endpointOf } from './api.ts';
import type { ControlState } from './control-state.ts';
import { type OrderState, orderStates, REASON_CHARS_MAX, WEIGHT_PERCENT_MAX } from './orders.ts';
import { problem } from './problem.ts';

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

export function addWrites(app: FastifyInstance, state: ControlState): void {
  // Rule 2: what an HTML form can send is not read.
  app.removeContentTypeParser('text/plain');
  for (const to of orderStates) {
    app.post<{ Params: EndpointParams }>(`/api/v1/pools/:pool/endpoints/:endpoint/${to}`, async (request, reply) =>
      change(state, request, reply, { ...fieldsOf(request.body), state: to }),
    );
  }
  app.patch<{ Params: EndpointParams }>('/api/v1/pools/:pool/endpoints/:endpoint', async (request, reply) =>
    change(state, request, reply, fieldsOf(request.body)),
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

function change(
  state: ControlState,
  request: FastifyRequest<{ Params: EndpointParams }>,
  reply: FastifyReply,
  body: Record<string, unknown>,
): unknown {
  const epoch = request.headers['if-match'];
  if (epoch !== undefined && epoch !== '*' && epoch !== `"${state.tally.epoch()}"`)
    return problem(reply, 412, `epoch ${state.tally.epoch()} is in force`);
  // A parameter that is not understood might be the one that says "do not really do it".
  const [unknownParameter] = Object.keys(request.query as object);
  if (unknownParameter !== undefined) return problem(reply, 400, `there is no parameter ${unknownParameter}`);
  const found = findEndpoint(state.plan()?.pools ?? [], request.params);
  if (typeof found === 'string') return problem(reply, 404, found);
  const { pool, endpoint } = found;
  if (endpoint.slot < 0) return problem(reply, 404, 'it has no slot in the state table');
  const checked = checkChange(body);
  if (typeof checked === 'string') return problem(reply, 400, checked);
  const by = request.socket.remoteAddress ?? 'unix socket';
  const order = { pool: pool.name, endpoint: endpoint.address, slot: endpoint.slot, reason: checked.reason, by };
  if (checked.percent !== null) state.orders.setWeight(order, checked.percent);
  if (checked.state !== null) state.orders.setState(order, checked.state);
  const { tally } = state;
  const takes = pool.endpoints.filter(
    ({ slot, weight }) => slot >= 0 && tally.isReady(slot) && weight * tally.weightPercent(slot) > 0,
  );
  const ready = new Set(takes.map(({ slot }) => slot)).size;
  return { pool: pool.name, ...endpointOf(state, pool, endpoint), readyInPool: ready };
}

/** A change in numbers, or what is wrong with it. */
function checkChange(
  body: Record<string, unknown>,
): { state: OrderState | null; percent: number | null; reason: string | null } | string {
  const unknownKey = Object.keys(body).find((key) => !changeKeys.includes(key));
  if (unknownKey !== undefined) return `unknown key ${unknownKey}; known are ${changeKeys.join(', ')}`;
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
  if (reason !== undefined && reason !== null && typeof reason !== 'string') return 'reason is a text';
  const text = (reason ?? '').replace(/\p{Cc}/gu, ' ').trim();
  if (text.length > REASON_CHARS_MAX) return `reason has more than ${REASON_CHARS_MAX} characters`;
  return { state: (state as OrderState | undefined) ?? null, percent, reason: text === '' ? null : text };
}
