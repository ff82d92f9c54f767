/**
 * maglev: a table of 65537 places, filled by the endpoints in turns, each along a permutation of its own (Eisenbud and others, NSDI 2016, §3.4). Shares are the
 * weights to within a table place, and the lookup is one load. When the set of endpoints changes, a few keys move between survivors besides those that must.
 *
 * The edge tier fills its tables the same way, so a flow lands on the same endpoint in both.
 */
import { HashedPolicy, type Homes } from './hashed.ts';
import { NONE, type PoolView } from './policy.ts';
import { mix } from './tier.ts';

/** A prime, and above 100 times the endpoints of most pools, which keeps shares within 1 %. Google's, Envoy's and Katran's number. */
export const MAGLEV_PLACES = 65537;
/** Two independent numbers of one hash. */
const OFFSET_SALT = 0x85ebca6b;
const SKIP_SALT = 0xc2b2ae35;
const GOLDEN = 0x9e3779b9;

export class MaglevPolicy extends HashedPolicy {
  constructor(view: PoolView) {
    super(view, () => new MaglevTable());
  }
}

class MaglevTable implements Homes {
  private owners: Int32Array = new Int32Array(0);

  layOut(members: readonly number[], hashes: readonly number[], weights: readonly number[]): void {
    this.owners = fillMaglev(hashes, weights).map((i) => members[i]!);
  }

  member(key: number, attempt: number): number {
    if (this.owners.length === 0) return NONE;
    const asked = attempt === 0 ? key : mix((key + Math.imul(attempt, GOLDEN)) | 0);
    return this.owners[(asked >>> 0) % MAGLEV_PLACES]!;
  }
}

/** The table: for each place an index into `hashes`. `weights` above 0. The order of the arguments does not matter for who gets what. */
export function fillMaglev(hashes: readonly number[], weights: readonly number[]): Int32Array {
  const heaviest = Math.max(...weights);
  // In the order of the hashes: nodes that list the endpoints differently agree.
  const order = hashes.map((_, i) => i).sort((a, b) => (hashes[a]! >>> 0) - (hashes[b]! >>> 0));
  const offsets = order.map((i) => (mix(hashes[i]! ^ OFFSET_SALT) >>> 0) % MAGLEV_PLACES);
  const skips = order.map((i) => ((mix(hashes[i]! ^ SKIP_SALT) >>> 0) % (MAGLEV_PLACES - 1)) + 1);
  const shares = order.map((i) => weights[i]! / heaviest);
  const due = order.map(() => 0);
  const owners = new Int32Array(MAGLEV_PLACES).fill(-1);
  for (let filled = 0; ; ) {
    for (let j = 0; j < order.length; j++) {
      // In each round the heaviest takes one place, the others as often as they weigh.
      due[j]! += shares[j]!;
      if (due[j]! < 1) continue;
      due[j]! -= 1;
      let place = offsets[j]!;
      const skip = skips[j]!;
      while (owners[place]! >= 0) {
        place += skip;
        if (place >= MAGLEV_PLACES) place -= MAGLEV_PLACES;
      }
      owners[place] = order[j]!;
      offsets[j] = place;
      if (++filled === MAGLEV_PLACES) return owners;
    }
  }
}
