/** Streams: which route a connection, or a client's datagrams, belongs to. Asked once for each, in the plan's order. */
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import type { ListenerPlan, StreamRoutePlan } from '../state/plan.ts';

export interface StreamRoute {
  readonly plan: StreamRoutePlan;
  readonly clients: CidrSet | null;
}

export class StreamTable {
  readonly routes: readonly StreamRoute[];

  constructor({ streams }: Pick<ListenerPlan, 'streams'>) {
    this.routes = streams.map((plan) => ({
      plan,
      clients: plan.match.clients === null ? null : new CidrSet(plan.match.clients),
    }));
  }

  /** The first that matches, or null. `serverName` is lower-case, '' when none was asked for. */
  match(serverName: string, alpn: readonly string[], client: ClientAddress): StreamRoute | null {
    for (const route of this.routes)
      if (hasName(route, serverName) && hasProtocol(route, alpn) && hasClient(route, client)) return route;
    return null;
  }

  /** Conditions of a route that do not hold, in words. */
  missed(route: StreamRoute, serverName: string, alpn: readonly string[], client: ClientAddress): string[] {
    const { serverName: wanted, alpn: protocols } = route.plan.match;
    const missed: string[] = [];
    if (!hasName(route, serverName)) missed.push(`sni ${wanted!.wildcard ? '*.' : ''}${wanted!.value}`);
    if (!hasProtocol(route, alpn)) missed.push(`alpn ${protocols!.join(' or ')}`);
    if (!hasClient(route, client)) missed.push('client');
    return missed;
  }
}

function hasName({ plan }: StreamRoute, name: string): boolean {
  const wanted = plan.match.serverName;
  if (wanted === null) return true;
  const { value, wildcard } = wanted;
  // One or more labels in front of the name.
  return wildcard
    ? name.length > value.length + 1 && name.endsWith(value) && name[name.length - value.length - 1] === '.'
    : name === value;
}

function hasProtocol({ plan }: StreamRoute, offered: readonly string[]): boolean {
  const wanted = plan.match.alpn;
  if (wanted === null) return true;
  for (const name of wanted) if (offered.includes(name)) return true;
  return false;
}

function hasClient({ clients }: StreamRoute, client: ClientAddress): boolean {
  return clients === null || clients.has(client);
}
