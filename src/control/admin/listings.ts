/** Listings of /api/v1: listeners, routes, endpoints over all pools, and the plan in force. */
import { addressText } from '../../base/wire.ts';
import type { Plan, PoolPlan } from '../../state/plan.ts';
import { actionText, filterNames, matchText, streamMatchText, targetText } from '../explain/words.ts';
import { endpointOf, type View } from './api.ts';
import type { ControlState } from './control-state.ts';

/** Names of values that are not for every reader of the plan. */
const SECRET_NAME = /auth|cookie|token|secret|password|api-?key|credential/i;

export function listenersOf(state: ControlState) {
  const plan = state.plan();
  return (plan?.listeners ?? []).map((listener) => {
    const row = state.tally.listener(listener.id);
    return {
      name: listener.name,
      origin: 'file',
      protocol: listener.protocol,
      addresses: listener.addresses.map(addressText),
      tls:
        listener.tls === null
          ? null
          : {
              certificates: listener.tls.certificates.map((index) => plan!.certificates[index]!.name),
              minVersion: listener.tls.minVersion,
              alpn: listener.tls.alpn,
              strictSni: listener.tls.strictSni,
            },
      redirectToHttps: listener.redirectToHttps,
      connections: sum(row.connections),
      connectionsTotal: sum(row.connectionsTotal),
      rejected: sum(row.rejected),
      receivedBytes: row.received,
      sentBytes: row.sent,
    };
  });
}

export type ListenerRow = ReturnType<typeof listenersOf>[number];

/** In the order in which they are asked, those of connections after those of requests. Routes of one name are counted together. */
export function routesOf(state: ControlState) {
  const plan = state.plan();
  if (plan === null) return [];
  const requests = new Map<number, number>();
  for (const row of state.tally.counts().requests) requests.set(row.route, (requests.get(row.route) ?? 0) + row.count);
  const rows = plan.routes.map((route) => ({
    name: route.name,
    origin: 'file',
    source: route.source,
    listeners: route.listeners === null ? null : route.listeners.map((index) => plan.listeners[index]!.name),
    match: matchText(route.match),
    action: actionText(route.action, plan),
    filters: filterNames(route.filters),
    requests: requests.get(route.id) ?? 0,
  }));
  for (const listener of plan.listeners)
    for (const { id, name, source, match, target } of listener.streams)
      rows.push({
        name,
        origin: 'file',
        source,
        listeners: [listener.name],
        match: streamMatchText(match),
        action: targetText(target, plan),
        filters: [],
        requests: requests.get(id) ?? 0,
      });
  return rows;
}

export function endpointsOf(view: View, pools: readonly PoolPlan[]) {
  return pools.flatMap((pool) => pool.endpoints.map((endpoint) => ({ pool: pool.name, ...endpointOf(view, pool, endpoint) })));
}

/** The plan in force. Keys of certificates and cookies, and the values of header fields whose names sound like secrets are hidden. */
export function configOf(plan: Plan): unknown {
  const certificates = plan.certificates.map((certificate) => ({ ...certificate, key: '(hidden)' }));
  return JSON.parse(JSON.stringify({ ...plan, certificates }), (key, value) => {
    if (key === 'sticky' && value !== null) return { ...value, key: '(hidden)' };
    const isField =
      typeof value === 'object' && value !== null && typeof value.name === 'string' && typeof value.value === 'string';
    return isField && SECRET_NAME.test(value.name) ? { ...value, value: '(hidden)' } : value;
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
