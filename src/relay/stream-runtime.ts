/** What a listener that carries bytes as they are does with a connection: its stream routes, made ready to run. */
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import type { ListenerPlan, StreamRoutePlan } from '../state/plan.ts';

export interface StreamRoute {
  readonly plan: StreamRoutePlan;
  readonly clients: CidrSet | null;
}

export class StreamTable {
  readonly routes: readonly StreamRoute[];

  constructor({ streams }: ListenerPlan) {
    this.routes = streams.map((plan) => ({
      plan,
      clients: plan.match.clients === null ? null : new CidrSet(plan.match.clients),
    }));
  }

  /** The first that matches, or null. `serverName` is lower-case, '' when none was asked for. */
  match(serverName: string, alpn: readonly string[], client: ClientAddress): StreamRoute | null {
    for (const route of this.routes) {
      const { match } = route.plan;
      if (match.serverName !== null && !isName(match.serverName, serverName)) continue;
      if (match.alpn !== null && !match.alpn.some((name) => alpn.includes(name))) continue;
      if (route.clients !== null && !route.clients.has(client)) continue;
      return route;
    }
    return null;
  }
}

/** `wildcard`: one or more labels in front of the name. */
function isName(wanted: { value: string; wildcard: boolean }, name: string): boolean {
  return wanted.wildcard
    ? name.length > wanted.value.length + 1 && name.endsWith(wanted.value) && name[name.length - wanted.value.length - 1] === '.'
    : name === wanted.value;
}
