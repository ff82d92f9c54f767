/**
 * References: ways to pick that no pool can have, kept to show what the real ones avoid.
 *
 * modulo-hash: endpoint number hash mod n of those that are ready, as nginx's `hash $key` and HAProxy's `hash-type map-based`. When n endpoints become
 * n + 1, only one key in n + 1 stays where it was.
 * ring(points): a ring on which each endpoint stands at so few points that chance gives some of them far more than their share.
 */
import { buildPolicy, endpointHash, NONE, type PoolView } from '../balance/balance.ts';
import { fmix32 } from '../base/hash.ts';
import type { PolicyChoice } from './scenario.ts';

/** What a run needs of a policy. */
export interface Picker {
  pick(key: number, random: number, avoid: number): number;
}

/** A policy of its own for whoever picks: `view` is the pool, `addresses` its endpoints in the same order. */
export function pickerOf(choice: PolicyChoice, view: PoolView, addresses: readonly string[]): Picker {
  switch (choice.kind) {
    case 'policy':
      return buildPolicy(choice.algorithm, view, choice.options);
    case 'modulo-hash':
      return new ModuloHash(view);
    case 'ring':
      return new FewPointRing(view, addresses, choice.points);
  }
}

class ModuloHash implements Picker {
  private readonly view: PoolView;

  constructor(view: PoolView) {
    this.view = view;
  }

  pick(key: number, _random: number, avoid: number): number {
    const { slots, weights, table } = this.view;
    const ready = [...slots].filter((slot, i) => weights[i]! > 0 && table.isReady(slot) && slot !== avoid);
    return ready.length === 0 ? NONE : ready[(key >>> 0) % ready.length]!;
  }
}

class FewPointRing implements Picker {
  private readonly view: PoolView;
  private readonly points: readonly { at: number; slot: number }[];

  constructor(view: PoolView, addresses: readonly string[], points: number) {
    this.view = view;
    this.points = addresses
      .flatMap((address, i) =>
        Array.from({ length: points }, (_, copy) => ({
          at: fmix32(endpointHash(address) ^ fmix32(copy + 1)),
          slot: view.slots[i]!,
        })),
      )
      .sort((a, b) => a.at - b.at);
  }

  pick(key: number, _random: number, avoid: number): number {
    const { points } = this;
    const { table } = this.view;
    const found = points.findIndex((point) => point.at >= key >>> 0);
    for (let i = 0; i < points.length; i++) {
      const { slot } = points[(Math.max(0, found) + i) % points.length]!;
      if (slot !== avoid && table.isReady(slot)) return slot;
    }
    return avoid;
  }
}
