/**
 * upstream: from an endpoint's slot to a leased wire: dial, keep alive, hand back, report.
 *
 * It does not know: which endpoint is the right one, what the exchange is about, or when to try again.
 *
 * Rules
 * 1. Wires belong to an endpoint (a slot), not to a plan: a reload closes none of a kept endpoint, unless it brings a PROXY line.
 * 2. A wire is leased to one exchange at a time (HTTP/1.1), and in a pool with a PROXY line to one exchange ever.
 * 3. What waits is bounded by queueMax and queueMs.
 */
import type { Address } from '../base/wire.ts';
import type { Plan } from '../state/plan.ts';
import type { CarriedEndpoint } from './carried-endpoint.ts';
import { DatagramEndpoint } from './datagram-endpoint.ts';
import { Endpoint } from './endpoint.ts';
import type { UpstreamParts } from './parts.ts';
import { StreamEndpoint } from './stream-endpoint.ts';

export type { DatagramEndpoint } from './datagram-endpoint.ts';
export type { Endpoint } from './endpoint.ts';
export type { UpstreamParts } from './parts.ts';
export { sendProxyLine } from './proxy-line.ts';
export type { StreamEndpoint } from './stream-endpoint.ts';

export class Upstream {
  private readonly parts: UpstreamParts;
  private endpoints: (Endpoint | undefined)[] = [];
  /** Endpoints of pools that carry connections as they are, and of those that carry datagrams, by slot. */
  streamEndpoints: (StreamEndpoint | undefined)[] = [];
  datagramEndpoints: (DatagramEndpoint | undefined)[] = [];

  constructor(parts: UpstreamParts) {
    this.parts = parts;
  }

  /**
   * Makes, updates and retires endpoints. Returns those of the plan by slot; an exchange keeps the array of the plan it began under, so a retired endpoint
   * can still be asked by it. An endpoint whose name is not resolved yet has none: its slot is never ready.
   */
  apply(plan: Plan): readonly (Endpoint | undefined)[] {
    const kept: (Endpoint | undefined)[] = [];
    this.streamEndpoints = this.carried(plan, 'tcp', this.streamEndpoints, StreamEndpoint);
    this.datagramEndpoints = this.carried(plan, 'udp', this.datagramEndpoints, DatagramEndpoint);
    for (const pool of plan.pools) {
      if (pool.protocol !== 'http') continue;
      for (const { slot, resolved } of pool.endpoints) {
        if (resolved === null || slot < 0) continue;
        let endpoint = this.endpoints[slot];
        if (endpoint === undefined || !isSame(endpoint.address, resolved)) {
          endpoint?.retire();
          endpoint = new Endpoint(slot, resolved, pool.connections, pool.id, this.parts);
        }
        endpoint.use(pool);
        kept[slot] = endpoint;
      }
    }
    const before = this.endpoints;
    this.endpoints = kept;
    for (const endpoint of before) if (endpoint !== undefined && kept[endpoint.slot] !== endpoint) endpoint.retire();
    for (const endpoint of kept) endpoint?.warm();
    return kept;
  }

  /** Endpoints of pools of one kind, by slot: those of before that are still the same, and new ones. */
  private carried<E extends CarriedEndpoint>(
    plan: Plan,
    protocol: 'tcp' | 'udp',
    before: readonly (E | undefined)[],
    make: new (slot: number, address: Address, parts: UpstreamParts) => E,
  ): (E | undefined)[] {
    const kept: (E | undefined)[] = [];
    for (const pool of plan.pools) {
      if (pool.protocol !== protocol) continue;
      for (const { slot, resolved } of pool.endpoints) {
        if (resolved === null || slot < 0) continue;
        const known = before[slot];
        const endpoint = known !== undefined && isSame(known.address, resolved) ? known : new make(slot, resolved, this.parts);
        endpoint.use(pool.sourceAddress);
        kept[slot] = endpoint;
      }
    }
    return kept;
  }

  /** Closes all idle wires: the worker is leaving. */
  retireAll(): void {
    for (const endpoint of this.endpoints) endpoint?.retire();
  }
}

function isSame(a: Address, b: Address): boolean {
  return a.kind === 'ip' && b.kind === 'ip'
    ? a.host === b.host && a.port === b.port
    : a.kind === 'unix' && b.kind === 'unix' && a.path === b.path;
}
