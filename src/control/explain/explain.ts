/**
 * explain: why does this request go there?
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
import { ClientAddress } from '../../base/client-address.ts';
import { faults } from '../../base/faults.ts';
import { type Head, method, methodNames } from '../../base/head.ts';
import { addressText } from '../../base/wire.ts';
import {
  buildFilters,
  ClientRules,
  clientFrom,
  ForwardedFields,
  httpsRedirect,
  RequestFacts,
  RouteAnswer,
} from '../../filter/filter.ts';
import {
  applyRewrite,
  BAD_PATH,
  buildRoutes,
  chooseTarget,
  hashKeyOf,
  headFromText,
  liveFields,
  NO_ROUTE,
} from '../../route/route.ts';
import type { TableReader } from '../../state/doors.ts';
import type { FilterPlan, ListenerPlan, Plan, RoutePlan } from '../../state/plan.ts';
import { type Choice, choose } from './choice.ts';
import { chooseListener, type ExplainRequest } from './request.ts';
import { actionText, cidrText, durationText, hashOnText, matchText } from './words.ts';

export type { Candidate, Choice } from './choice.ts';
export { offlineParts } from './offline.ts';
export { CLIENT_DEFAULT, type ExplainRequest, explainRequest } from './request.ts';
export type { Stories } from './requests.ts';
export { type RequestStory, shortSpan } from './story.ts';
export { storyText } from './story-text.ts';
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

export interface FilterStep {
  name: string;
  kind: FilterPlan['kind'];
  /** Status it would answer; 0: it lets the request pass. */
  status: number;
  /** Word of the fault it would answer with; '' for none. */
  reason: string;
  /** What it does, or why it answers. */
  effect: string[];
}

/** What weir answers by itself. */
export interface OwnAnswer {
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
  /** In the order of precedence. */
  routes: RouteStep[];
  filters: FilterStep[];
  /** null: what goes to the endpoint is what came. */
  rewrite: { from: string; to: string; host: string | null } | null;
  /** null: an endpoint answers. */
  answer: OwnAnswer | null;
  /** What the endpoint gets; null: nothing. */
  sends: { method: string; target: string; host: string; headers: [string, string][] } | null;
  pool: ({ name: string; source: string; policy: string; hashOn: string | null; of: string | null } & Choice) | null;
  limits: Limits | null;
  /** What to bear in mind. */
  note: string | null;
}

/** Durations in seconds, 0 = none. */
export interface Limits {
  connect: number;
  response: number;
  idle: number;
  request: number;
  tries: number;
  retryOn: readonly string[];
  retryBudget: number;
  perTry: number;
  text: string;
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

/** Explains a request under a plan whose slots are assigned. Returns a sentence when no listener takes it. */
export function explain(plan: Plan, table: TableReader, request: ExplainRequest, parts: ExplainParts): Explanation | string {
  const chosen = chooseListener(plan, request);
  if (typeof chosen === 'string') return chosen;
  const { index, listener, why } = chosen;
  const peer = new ClientAddress();
  if (!peer.set(request.client)) return `'${request.client}' is no IP address`;
  const head = headFromText(request.method, request.url, request.headers);
  const client = new ClientAddress();
  const facts = factsOf(request, listener, peer);
  const explanation: Explanation = {
    request: { method: request.method, url: request.url, peer: peer.text },
    epoch: plan.epoch,
    client: clientOf(listener, head, peer, client, facts),
    listener: { name: listener.name, addresses: listener.addresses.map(addressText), protocol: listener.protocol, why },
    routes: [],
    filters: [],
    rewrite: null,
    answer: null,
    sends: null,
    pool: null,
    limits: null,
    note: parts.note ?? null,
  };
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

type Action = RoutePlan['action'];

/** A route that answers by itself. */
function respond(
  { head, facts, explanation, ...rest }: Inquiry,
  route: RoutePlan,
  action: Exclude<Action, { kind: 'forward' }>,
): void {
  explanation.filters = route.filters.map((filter) => filterStep(route, filter, head, rest.client, facts));
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
  const pool = plan.pools[chooseTarget(action, draw())]!;
  facts.pool = pool.name;
  const hashKey = hashKeyOf(pool);
  const key = hashKey === null ? null : hashKey.of(head, client, draw()) >>> 0;
  const failed = new ForwardedFields(plan.headers, plan.node).request(head, facts);
  if (failed !== 0) explanation.answer = faultAnswer(failed, '');
  const before = targetOf(head);
  if (!applyRewrite(route, head)) explanation.answer ??= ownAnswer('headTooLarge', 'the rewritten path has no room');
  if (route.rewrite !== null) explanation.rewrite = { from: before, to: targetOf(head), host: route.rewrite.host };
  explanation.filters = route.filters.map((filter) => filterStep(route, filter, head, client, facts));
  explanation.answer ??= firstAnswer(explanation.filters);
  explanation.sends = {
    method: explanation.request.method,
    target: targetOf(head),
    host: textOf(head, head.authorityStart, head.authorityEnd),
    headers: liveFields(head),
  };
  const choice = choose(pool, table, plan, key, draw(), why);
  const of = action.pools.length === 1 ? null : actionText(action, plan);
  explanation.pool = {
    name: pool.name,
    source: pool.source,
    policy: pool.balance.algorithm,
    hashOn: hashKey === null ? null : hashOnText(pool),
    of,
    ...choice,
  };
  if (choice.pick === null) explanation.answer ??= ownAnswer('destinationUnavailable', '');
  explanation.limits = limitsOf(route);
}

function factsOf(request: ExplainRequest, listener: ListenerPlan, peer: ClientAddress): RequestFacts {
  const facts = new RequestFacts();
  facts.method = Math.max(method.OTHER, methodNames.indexOf(request.method));
  facts.peer = facts.client = peer.text;
  facts.scheme = /^https:/i.test(request.url) ? 'https' : 'http';
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

/** Lets one filter at the head, and says what became of it. */
function filterStep(route: RoutePlan, filter: FilterPlan, head: Head, client: ClientAddress, facts: RequestFacts): FilterStep {
  const before = fieldsOf(head);
  const failed = buildFilters({ ...route, filters: [filter] }).request(head, client, facts);
  const step = {
    name: filter.name,
    kind: filter.kind,
    status: faults[failed]!.status,
    reason: failed === 0 ? '' : faults[failed]!.reason,
  };
  if (filter.kind === 'access') {
    const allow = filter.allow.length === 0 ? 'everybody else' : filter.allow.map(cidrText).join(', ');
    const deny = filter.deny.length === 0 ? 'nobody' : filter.deny.map(cidrText).join(', ');
    return { ...step, effect: [`${client.text} ${failed === 0 ? 'may pass' : 'may not pass'}: allows ${allow}, denies ${deny}`] };
  }
  if (failed !== 0) return { ...step, effect: [faults[failed]!.text] };
  if (filter.kind !== 'headers') return { ...step, effect: [] };
  const { set, add, remove } = filter.response;
  const response = [
    ...remove.map((name) => `response loses ${name}`),
    ...set.map(({ name, value }) => `response gets ${name}: ${value}`),
    ...add.map(({ name, value }) => `response gets one more ${name}: ${value}`),
  ];
  return { ...step, effect: [...difference(before, fieldsOf(head)), ...response] };
}

function fieldsOf(head: Head): string[] {
  const fields = liveFields(head).map(([name, value]) => `${name}: ${value}`);
  return [`host: ${textOf(head, head.authorityStart, head.authorityEnd)}`, ...fields];
}

function difference(before: readonly string[], after: readonly string[]): string[] {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(':')).toLowerCase();
  const left = [...after];
  const gone: string[] = [];
  for (const line of before) {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    else gone.push(nameOf(line));
  }
  const replaced = new Set(left.map(nameOf));
  return [
    ...new Set(gone.filter((name) => !replaced.has(name)).map((name) => `loses ${name}`)),
    ...left.map((line) => `gets ${line}`),
  ];
}

function firstAnswer(steps: readonly FilterStep[]): OwnAnswer | null {
  const step = steps.find(({ status }) => status !== 0);
  if (step === undefined) return null;
  return { status: step.status, reason: step.reason, detail: `filter ${step.name}: ${step.effect.join(', ')}`, location: null };
}

function ownAnswer(name: string, detail: string): OwnAnswer {
  return faultAnswer(faults.find((row) => row.name === name)!.id, detail);
}

function faultAnswer(faultId: number, detail: string): OwnAnswer {
  const { status, reason, text } = faults[faultId]!;
  return { status, reason, detail: detail === '' ? text : detail, location: null };
}

function limitsOf({ timeouts, retry }: RoutePlan): Limits {
  const { connectMs, responseMs, idleMs, requestMs } = timeouts;
  const { attempts, on, budget, budgetMin, perTryMs } = retry;
  const tries =
    attempts <= 1
      ? 'one try'
      : `${attempts} tries on ${on.join(', ')} (${Math.round(budget * 100)}% of requests, at least ${budgetMin}/s)`;
  const perTry = perTryMs === 0 ? '' : `, each ${durationText(perTryMs)}`;
  return {
    connect: connectMs / 1000,
    response: responseMs / 1000,
    idle: idleMs / 1000,
    request: requestMs / 1000,
    tries: attempts,
    retryOn: on,
    retryBudget: budget,
    perTry: perTryMs / 1000,
    text: `connect ${durationText(connectMs)}, response ${durationText(responseMs)}, idle ${durationText(idleMs)}, request ${durationText(requestMs)}; ${tries}${perTry}`,
  };
}

/** Path and query, as UTF-8. */
function targetOf(head: Head): string {
  const query = head.queryStart < 0 ? '' : `?${textOf(head, head.queryStart, head.queryEnd)}`;
  return textOf(head, head.pathStart, head.pathEnd) + query;
}

function textOf(head: Head, start: number, end: number): string {
  return Buffer.from(head.bytes.subarray(head.base + start, head.base + end)).toString();
}
