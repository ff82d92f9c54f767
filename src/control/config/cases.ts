/** The `tests:` of a config: each request or connection is routed by the data plane's own code, and the outcome compared. */
import { ClientAddress } from '../../base/client-address.ts';
import { method, methodNames } from '../../base/head.ts';
import { buildFilters, httpsRedirect, RequestFacts, RouteAnswer } from '../../filter/filter.ts';
import { applyRewrite, BAD_PATH, buildRoutes, headFromText, NO_ROUTE, type RouteTable, StreamTable } from '../../route/route.ts';
import type { Plan } from '../../state/plan.ts';
import { type ConfigFault, faultAt } from './fault.ts';
import type { TestConfig } from './schema.ts';
import { readServerName } from './schema-stream.ts';
import { readRequest } from './schema-test.ts';
import type { Place } from './source.ts';
import { listOf, must } from './values.ts';

export interface TestCase {
  test: TestConfig;
  /** Place of `expect`, and of each of its keys' values. */
  placeOf: (key: string | null) => Place;
  path: readonly string[];
}

/** What became of one request. */
export interface CaseOutcome {
  route: string;
  /** Pools it may go to; empty when weir answers by itself. */
  pools: string[];
  /** Path and query as the endpoint sees them; '' when weir answers. */
  path: string;
  /** 0 when an endpoint decides. */
  status: number;
  location: string;
}

/** TEST-NET-1 (RFC 5737): an address that no rule means by accident. */
const CLIENT_DEFAULT = '192.0.2.1';

/** Runs all tests; one fault for each expectation that is not met. */
export function runCases(plan: Plan, cases: readonly TestCase[]): ConfigFault[] {
  const faults: ConfigFault[] = [];
  if (cases.length === 0) return faults;
  const tables = plan.listeners.map((_, index) => buildRoutes(plan, index));
  for (const { test, placeOf, path } of cases) {
    const outcome = test.connect === undefined ? runCase(plan, tables, test) : runStreamCase(plan, test);
    const { expect } = test;
    const what = test.request ?? `connect ${test.connect}`;
    const miss = (key: string, wanted: unknown, got: string) =>
      faults.push(
        faultAt(placeOf(key), 'test-failed', `${what}: expected ${key} ${wanted}, got ${got}`, {
          path: [...path, 'expect', key],
        }),
      );
    if (expect.route !== undefined && expect.route !== outcome.route) miss('route', expect.route, outcome.route);
    if (expect.pool !== undefined && !outcome.pools.includes(expect.pool)) miss('pool', expect.pool, whereTo(outcome));
    if (
      expect.path !== undefined &&
      expect.path !== (expect.path.includes('?') ? outcome.path : outcome.path.replace(/\?.*$/, ''))
    )
      miss('path', expect.path, outcome.path === '' ? whereTo(outcome) : outcome.path);
    if (expect.status !== undefined && expect.status !== outcome.status) miss('status', expect.status, whereTo(outcome));
    if (expect.location !== undefined && expect.location !== outcome.location)
      miss('location', expect.location, outcome.location === '' ? whereTo(outcome) : outcome.location);
  }
  return faults;
}

/** Routes one request; listeners are asked in their order until one has a route for it, unless the test names one. */
export function runCase(plan: Plan, tables: readonly RouteTable[], test: TestConfig): CaseOutcome {
  const { method: methodName, url, target } = must(readRequest(test.request!));
  const authority = url.host;
  const head = headFromText(methodName, `${url.protocol}//${authority}${target}`, Object.entries(test.headers ?? {}));
  const client = new ClientAddress();
  client.set(test.client ?? CLIENT_DEFAULT);
  const none: CaseOutcome = { route: 'none', pools: [], path: '', status: 404, location: '' };
  const forRequests = [...plan.listeners.keys()].filter((i) => ['http', 'auto'].includes(plan.listeners[i].protocol));
  if (forRequests.length === 0) return none;
  const asked = test.listener === undefined ? forRequests : [plan.listeners.findIndex((l) => l.name === test.listener)];
  let index = NO_ROUTE;
  let at = asked[0];
  for (const listener of asked) {
    index = tables[listener].match(head, client);
    at = listener;
    if (index !== NO_ROUTE || plan.listeners[listener].redirectToHttps) break;
  }
  const listener = plan.listeners[at];
  const facts = new RequestFacts();
  facts.client = facts.peer = client.text;
  facts.scheme = url.protocol === 'https:' ? 'https' : 'http';
  facts.listener = listener.name;
  facts.method = Math.max(method.OTHER, methodNames.indexOf(methodName));
  if (listener.redirectToHttps) return { ...none, status: 308, location: httpsRedirect().location(head, facts) };
  if (index === BAD_PATH) return { ...none, status: 400 };
  if (index === NO_ROUTE) return none;
  const route = plan.routes[index];
  const { action } = route;
  facts.route = route.name;
  const denied =
    route.filters.some((filter) => filter.kind === 'access') &&
    buildFilters({ ...route, filters: route.filters.filter((f) => f.kind === 'access') }).request(head, client, facts) !== 0;
  if (denied) return { ...none, route: route.name, status: 403 };
  if (action.kind !== 'forward') {
    return {
      route: route.name,
      pools: [],
      path: '',
      status: action.status,
      location: new RouteAnswer(action).location(head, facts),
    };
  }
  applyRewrite(route, head);
  const text = (start: number, end: number) => Buffer.from(head.bytes.subarray(head.base + start, head.base + end)).toString();
  const query = head.queryStart < 0 ? '' : `?${text(head.queryStart, head.queryEnd)}`;
  const pools = action.pools.filter((p) => p.weight > 0).map((p) => plan.pools[p.pool].name);
  return { route: route.name, pools, path: text(head.pathStart, head.pathEnd) + query, status: 0, location: '' };
}

/** Routes one connection, or the first datagram of a client. */
function runStreamCase(plan: Plan, { connect, sni, alpn, client: from }: TestConfig): CaseOutcome {
  const client = new ClientAddress();
  client.set(from ?? CLIENT_DEFAULT);
  const streams = new StreamTable(plan.listeners.find(({ name }) => name === connect)!);
  const serverName = sni === undefined ? '' : must(readServerName(sni)).value;
  const route = streams.match(serverName, alpn === undefined ? [] : listOf(alpn), client)?.plan;
  const none: CaseOutcome = { route: 'none', pools: [], path: '', status: 0, location: '' };
  if (route === undefined) return none;
  const pools = route.target.pools.filter((p) => p.weight > 0).map((p) => plan.pools[p.pool].name);
  return { ...none, route: route.name, pools };
}

function whereTo(outcome: CaseOutcome): string {
  if (outcome.pools.length > 0) return outcome.pools.join(' or ');
  if (outcome.status === 0) return 'no route';
  return outcome.status === 404 && outcome.route === 'none' ? '404, no route' : `status ${outcome.status}`;
}
