/**
 * explain: why does this request, or this connection (stream.ts), go there?
 *
 * The rooms of the data plane are asked as an exchange asks them, in its order: client, listener's redirect, route, forwarded fields,
 * rewrite, filters, policy. So the answer is theirs, and not that of a second implementation.
 *
 * It does not know: where plan and table come from (a running instance, or offline.ts), clocks, chance: what is drawn arrives as an argument.
 *
 * Rules
 * 1. Nothing is changed: no counter, no turn, no state.
 * 2. A filter that would answer does not end the explanation: what would follow is told as well.
 */
import { FALLBACKS_MAX } from '../../balance/balance.ts';
import { ClientAddress } from '../../base/client-address.ts';
import { type FaultName, fault, faults } from '../../base/faults.ts';
import { type Head, method, methodNames } from '../../base/head.ts';
import { isRefused, underscores } from '../../base/underscores.ts';
import { addressText } from '../../base/wire.ts';
import { ClientRules, clientFrom, ForwardedFields, httpsRedirect, RequestFacts, RouteAnswer } from '../../filter/filter.ts';
import { applyRewrite, BAD_PATH, buildRoutes, chooseTarget, headFromText, liveFields, NO_ROUTE } from '../../route/route.ts';
import type { TableReader } from '../../state/doors.ts';
import type { ListenerPlan, Plan, RoutePlan } from '../../state/plan.ts';
import { type FilterStep, filterStep } from './filter-step.ts';
import { type Limits, limitsOf } from './limits.ts';
import { enter, type Placing, type PoolStep, placeIn } from './place.ts';
import { type ChosenListener, chooseListener, type ExplainRequest, isHttps, isStream } from './request.ts';
import { explainStream, isCarried, type StreamExplanation } from './stream.ts';
import { type ClientHello, helloFor, missingStep, openedStep, type TlsStep } from './tls.ts';
import { actionText, matchText } from './words.ts';

export { offlineParts } from './offline.ts';
export type { PoolStep } from './place.ts';
export { CLIENT_DEFAULT, type ExplainRequest, explainRequest } from './request.ts';
export type { ConnectionStories, Stories, Traces } from './requests.ts';
export { type RequestStory, shortSpan } from './story.ts';
export type { ConnectionStory } from './story-connection.ts';
export { connectionStoryText } from './story-connection-text.ts';
export { storyText } from './story-text.ts';
export type { StreamExplanation } from './stream.ts';
export { explanationText } from './text.ts';

export interface RouteStep {
  name: string;
  source: string;
  verdict: 'taken' | 'also fits' | 'missed';
  /** What it asks for. */
  match: string;
  action: string;
  /** Conditions that do not hold. */
  missed: readonly string[];
}

/** What weir answers by itself. */
interface OwnAnswer {
  status: number;
  /** Word of the fault, "redirect" or "respond". */
  reason: string;
  detail: string;
  location: string | null;
}

export interface Explanation {
  request: { method: string; url: string; peer: string };
  epoch: number;
  /** `from`: who said the client's address: the peer's own, a field, or a field that could not be read (then it is the peer's). */
  client: { address: string; from: 'peer' | 'field' | 'malformed field'; field: string | null };
  listener: { name: string; addresses: string[]; protocol: string; why: string };
  /** null: neither the client nor the listener has to do with it. */
  tls: TlsStep | null;
  /** In the order of precedence. */
  routes: RouteStep[];
  filters: FilterStep[];
  /** null: what goes to the endpoint is what came. */
  rewrite: { from: string; to: string; host: string | null } | null;
  /** null: an endpoint answers. */
  answer: OwnAnswer | null;
  /** What the endpoint gets; null: nothing. */
  sends: { method: string; target: string; host: string; headers: [string, string][] } | null;
  /** Pools that were asked before `pool`, of which no endpoint could take it. */
  passed: PoolStep[];
  pool: PoolStep | null;
  limits: Limits | null;
  /** What to bear in mind. */
  note: string | null;
}

export interface ExplainParts {
  /** A uniform unsigned 32-bit number, when the request names none. */
  draw: () => number;
  /** Reason of a slot's state. */
  why: (slot: number) => string | null;
  note?: string;
}

/** One explanation under way. */
interface Inquiry {
  readonly plan: Plan;
  readonly table: TableReader;
  readonly head: Head;
  readonly client: ClientAddress;
  readonly facts: RequestFacts;
  readonly draw: () => number;
  readonly why: (slot: number) => string | null;
  readonly explanation: Explanation;
}

/** Explains a request, or a connection, under a plan whose slots are assigned. Returns a sentence when no listener takes it. */
export function explain(
  plan: Plan,
  table: TableReader,
  request: ExplainRequest,
  parts: ExplainParts,
): Explanation | StreamExplanation | string {
  const chosen = chooseListener(plan, request);
  if (typeof chosen === 'string') return chosen;
  if (isStream(request.url)) return explainStream(plan, table, request, chosen, parts);
  const hello = isHttps(request.url) ? helloFor(request.url, request.sni, request.alpn) : null;
  // TLS that is carried unopened is a connection: nobody here sees a request in it.
  if (hello !== null && chosen.listener.protocol === 'auto' && isCarried(chosen.listener, hello, request.client))
    return explainStream(plan, table, { ...request, sni: hello.serverName, alpn: [...hello.alpn] }, chosen, parts);
  return explainRequestAt(chosen, hello, plan, table, request, parts);
}

function explainRequestAt(
  { index, listener, why }: ChosenListener,
  hello: ClientHello | null,
  plan: Plan,
  table: TableReader,
  request: ExplainRequest,
  parts: ExplainParts,
): Explanation | string {
  const peer = new ClientAddress();
  if (!peer.set(request.client)) return `'${request.client}' is no IP address`;
  const rule = underscores[listener.limits.underscores];
  const head = headFromText(request.method, request.url, request.headers, rule);
  const client = new ClientAddress();
  const facts = factsOf(request, listener, peer);
  facts.nowMs = table.nowMs();
  const explanation: Explanation = {
    request: { method: request.method, url: request.url, peer: peer.text },
    epoch: plan.epoch,
    client: clientOf(listener, head, peer, client, facts),
    listener: { name: listener.name, addresses: listener.addresses.map(addressText), protocol: listener.protocol, why },
    tls: hello === null ? null : openedStep(plan, listener, hello),
    routes: [],
    filters: [],
    rewrite: null,
    answer: null,
    sends: null,
    passed: [],
    pool: null,
    limits: null,
    note: [parts.note ?? '', droppedText(request, rule)].filter((text) => text !== '').join('; ') || null,
  };
  const answer = unencrypted(explanation, listener, hello);
  if (answer !== null || explanation.tls?.verdict === 'refused') {
    explanation.answer = answer;
    return explanation;
  }
  if (isRefused(rule) && underscored(request).length > 0) {
    explanation.answer = ownAnswer('badRequest', 'underscore in a field name');
    return explanation;
  }
  if (head.method === method.CONNECT || head.method === method.TRACE) {
    explanation.answer = ownAnswer('methodNotAllowed', 'CONNECT and TRACE are not served');
    return explanation;
  }
  if (listener.redirectToHttps) {
    const detail = `listener ${listener.name} redirects everything to https`;
    explanation.answer = { status: 308, reason: 'redirect', detail, location: httpsRedirect().location(head, facts) };
    return explanation;
  }
  const routes = buildRoutes(plan, index);
  const trace = routes.explain(head, client);
  explanation.routes = trace.steps.map(({ route, name, source, verdict, missed }) => {
    const its = plan.routes[route]!;
    return { name, source, verdict, match: matchText(its.match), action: actionText(its.action, plan), missed };
  });
  if (trace.route === BAD_PATH) {
    explanation.answer = ownAnswer('badRequest', 'the path can be read in two ways');
    return explanation;
  }
  if (trace.route === NO_ROUTE) {
    explanation.answer = ownAnswer('destinationNotFound', routes.nearestMiss(head, client));
    return explanation;
  }
  const draw = (): number => request.random ?? parts.draw();
  const inquiry: Inquiry = { plan, table, head, client, facts, draw, why: parts.why, explanation };
  const route = plan.routes[trace.route]!;
  facts.route = route.name;
  if (route.action.kind === 'forward') forward(inquiry, route, route.action);
  else respond(inquiry, route, route.action);
  return explanation;
}

function underscored({ headers }: ExplainRequest): string[] {
  return headers.map(([name]) => name).filter((name) => name.includes('_'));
}

/** Which fields are dropped before anything looks at them; '': none. */
function droppedText(request: ExplainRequest, rule: number): string {
  const dropped = rule === underscores.drop ? underscored(request) : [];
  return dropped.length === 0
    ? ''
    : `dropped for the underscore in the name: ${dropped.join(', ')} (underscores of the listener)`;
}

/** What is answered to who speaks TLS where none is opened, and to who does not where nothing else is taken. */
function unencrypted(explanation: Explanation, { tls, protocol }: ListenerPlan, hello: ClientHello | null): OwnAnswer | null {
  if (hello !== null && tls === null) return ownAnswer('badRequest', 'the listener opens no TLS: what comes is no request');
  if (hello !== null || tls === null || protocol !== 'http') return null;
  explanation.tls = missingStep();
  return { status: 400, reason: 'preface', detail: 'this port speaks TLS: ask with https://', location: null };
}

type Action = RoutePlan['action'];

/** A route that answers by itself. */
function respond(
  { head, facts, explanation, ...rest }: Inquiry,
  route: RoutePlan,
  action: Exclude<Action, { kind: 'forward' }>,
): void {
  explanation.filters = route.filters.map((filter) => filterStep(filter, head, rest.client, facts, rest.table));
  explanation.answer = firstAnswer(explanation.filters) ?? {
    status: action.status,
    reason: action.kind,
    detail: `route ${route.name} answers by itself`,
    location: new RouteAnswer(action).location(head, facts) || null,
  };
}

/** A route to a pool. */
function forward(inquiry: Inquiry, route: RoutePlan, action: Extract<Action, { kind: 'forward' }>): void {
  const { plan, table, head, client, facts, draw, why, explanation } = inquiry;
  const { urgency } = route;
  const placing: Placing = { pools: plan.pools, table, at: plan, head, client, urgency, draw, why };
  const pool = plan.pools[chooseTarget(action, draw())]!;
  facts.pool = pool.name;
  let entered = enter(pool, placing);
  const failed = new ForwardedFields(plan.headers, plan.node).request(head, facts);
  if (failed !== 0) explanation.answer = faultAnswer(failed, '');
  const before = targetOf(head);
  if (!applyRewrite(route, head)) explanation.answer ??= ownAnswer('headTooLarge', 'the rewritten path has no room');
  if (route.rewrite !== null) explanation.rewrite = { from: before, to: targetOf(head), host: route.rewrite.host };
  explanation.filters = route.filters.map((filter) => filterStep(filter, head, client, facts, table));
  explanation.answer ??= firstAnswer(explanation.filters);
  let placed = placeIn(entered, placing);
  placed.step.of = action.pools.length === 1 ? null : actionText(action, plan);
  while (placed.next !== null && explanation.passed.length < FALLBACKS_MAX) {
    explanation.passed.push(placed.step);
    entered = enter(placed.next, placing);
    placed = placeIn(entered, placing);
  }
  explanation.pool = placed.step;
  if (placed.failed !== null) explanation.answer ??= ownAnswer(placed.failed.fault, placed.failed.detail);
  else if (placed.next !== null) explanation.answer ??= ownAnswer('destinationUnavailable', 'the fallback pools have no end');
  explanation.sends = {
    method: explanation.request.method,
    target: targetOf(head),
    host: textOf(head, head.authorityStart, head.authorityEnd),
    headers: liveFields(head),
  };
  explanation.limits = limitsOf(route);
}

function factsOf(request: ExplainRequest, listener: ListenerPlan, peer: ClientAddress): RequestFacts {
  const facts = new RequestFacts();
  facts.method = Math.max(method.OTHER, methodNames.indexOf(request.method));
  facts.peer = facts.client = peer.text;
  facts.scheme = isHttps(request.url) ? 'https' : 'http';
  facts.listener = listener.name;
  facts.id = 'explained';
  const first = listener.addresses[0];
  facts.listenerPort = first !== undefined && first.kind === 'ip' ? String(first.port) : '';
  return facts;
}

/** Who the client is, as an exchange finds out; fills in `client` and what the facts say of it. */
function clientOf(
  listener: ListenerPlan,
  head: Head,
  peer: ClientAddress,
  client: ClientAddress,
  facts: RequestFacts,
): Explanation['client'] {
  const rules = new ClientRules(listener.clientIp);
  client.copy(peer);
  if (!rules.trusts(peer)) return { address: peer.text, from: 'peer', field: null };
  facts.peerIsTrusted = true;
  const from = rules.resolve(head, peer, client);
  facts.client = client.text;
  const isPeer = from === clientFrom.peer;
  return {
    address: client.text,
    from: isPeer ? 'peer' : from === clientFrom.field ? 'field' : 'malformed field',
    field: isPeer ? null : listener.clientIp.header,
  };
}

function firstAnswer(steps: readonly FilterStep[]): OwnAnswer | null {
  const step = steps.find(({ status }) => status !== 0);
  if (step === undefined) return null;
  return { status: step.status, reason: step.reason, detail: `filter ${step.name}: ${step.effect.join(', ')}`, location: null };
}

function ownAnswer(name: FaultName, detail: string): OwnAnswer {
  return faultAnswer(fault[name], detail);
}

function faultAnswer(faultId: number, detail: string): OwnAnswer {
  const { status, reason, text } = faults[faultId]!;
  return { status, reason, detail: detail === '' ? text : detail, location: null };
}

/** Path and query, as UTF-8. */
function targetOf(head: Head): string {
  const query = head.queryStart < 0 ? '' : `?${textOf(head, head.queryStart, head.queryEnd)}`;
  return textOf(head, head.pathStart, head.pathEnd) + query;
}

function textOf(head: Head, start: number, end: number): string {
  return Buffer.from(head.bytes.subarray(head.base + start, head.base + end)).toString();
}
