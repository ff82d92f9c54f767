/**
 * References: ways to pick that no pool can have, kept to show what the real ones avoid.
 *
 * modulo-hash: endpoint number hash mod n of those that are ready, as nginx's `hash $key` and HAProxy's `hash-type map-based`. When n endpoints become
 * n + 1, only one key in n + 1 stays where it was.
 * lowest-latency: average latency times requests in flight, the lowest wins. An endpoint that was slow once gets nothing, so nobody learns that it is well again.
 * ring(points): a ring on which each endpoint stands at so few points that chance gives some of them far more than their share.
 */
import { endpointHash, NONE, type NodePlace, type Policy, policyOf } from '../balance/balance.ts';
import { fmix32 } from '../base/hash.ts';
import type { TableReader } from '../state/doors.ts';
import type { EndpointPlan, PoolPlan } from '../state/plan.ts';
import type { Reference } from './scenario.ts';

/** References know nobody who just failed. */
abstract class ReferencePolicy implements Policy {
  abstract pick(key: number, random: number, avoid: number): number;
  pickAmong(): number {
    return NONE;
  }
}

/** A policy of its own for whoever picks: that of the pool, or a reference. */
export function pickerOf(reference: Reference | null, pool: PoolPlan, table: TableReader, at: NodePlace): Policy {
  if (reference === null) return policyOf(pool, table, at);
  switch (reference.kind) {
    case 'modulo-hash':
      return new ModuloHash(pool.endpoints, table);
    case 'lowest-latency':
      return new LowestLatency(pool.endpoints, table);
    case 'ring':
      return new FewPointRing(pool.endpoints, table, reference.points);
  }
}

class ModuloHash extends ReferencePolicy {
  private readonly slots: Int32Array;
  private readonly table: TableReader;
  private readonly ready: Int32Array;

  constructor(endpoints: readonly EndpointPlan[], table: TableReader) {
    super();
    this.slots = Int32Array.from(
      endpoints.filter((endpoint) => endpoint.weight > 0),
      (endpoint) => endpoint.slot,
    );
    this.table = table;
    this.ready = new Int32Array(this.slots.length);
  }

  pick(key: number, _random: number, avoid: number): number {
    const { slots, table, ready } = this;
    let count = 0;
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      if (slot !== avoid && table.isReady(slot)) ready[count++] = slot;
    }
    return count === 0 ? NONE : ready[(key >>> 0) % count]!;
  }
}

class LowestLatency extends ReferencePolicy {
  private readonly slots: readonly number[];
  private readonly table: TableReader;

  constructor(endpoints: readonly EndpointPlan[], table: TableReader) {
    super();
    this.slots = endpoints.filter((endpoint) => endpoint.weight > 0).map((endpoint) => endpoint.slot);
    this.table = table;
  }

  pick(_key: number, _random: number, avoid: number): number {
    const { slots, table } = this;
    let best = NONE;
    let least = Number.POSITIVE_INFINITY;
    for (const slot of slots) {
      if (slot === avoid || !table.isReady(slot)) continue;
      const cost = table.latencyMs(slot) * (1 + table.inFlight(slot));
      if (cost >= least) continue;
      best = slot;
      least = cost;
    }
    return best;
  }
}

class FewPointRing extends ReferencePolicy {
  private readonly table: TableReader;
  private readonly points: readonly { at: number; slot: number }[];

  constructor(endpoints: readonly EndpointPlan[], table: TableReader, points: number) {
    super();
    this.table = table;
    this.points = endpoints
      .flatMap(({ address, slot }) =>
        Array.from({ length: points }, (_, copy) => ({ at: fmix32(endpointHash(address) ^ fmix32(copy + 1)), slot })),
      )
      .sort((a, b) => a.at - b.at);
  }

  pick(key: number, _random: number, avoid: number): number {
    const { points, table } = this;
    const found = points.findIndex((point) => point.at >= key >>> 0);
    for (let i = 0; i < points.length; i++) {
      const { slot } = points[(Math.max(0, found) + i) % points.length]!;
      if (slot !== avoid && table.isReady(slot)) return slot;
    }
    return avoid;
  }
}
