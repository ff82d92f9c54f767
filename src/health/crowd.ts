/** Crowd: the endpoints of a pool taken together, counted once per look, so that each can be compared with the others at no further cost. */
import { admin } from '../state/doors.ts';
import type { Judged } from './judged.ts';

/** Failures in a row from which an endpoint counts as failing now, whatever its window still holds. */
const FAILING_RUN = 2;

export class Crowd {
  /** Endpoints that nobody took out on purpose; those of them that are ejected. */
  present = 0;
  out = 0;
  /** Endpoints that can take requests. */
  usable = 0;
  // Sum of the shares of failures of the usable ones, and how many showed one: of bad ends, and of hard ones.
  private badSum = 0;
  private badKnown = 0;
  private hardSum = 0;
  private hardKnown = 0;

  count(judged: readonly Judged[]): void {
    this.present = this.out = this.usable = 0;
    this.badSum = this.badKnown = this.hardSum = this.hardKnown = 0;
    for (let i = 0; i < judged.length; i++) {
      const one = judged[i]!;
      if (one.admin === admin.ready) this.present++;
      if (one.admin === admin.ready && one.ejection.isOut) this.out++;
      if (one.isUsable) this.add(one, 1);
    }
  }

  /** This one has just been ejected. */
  ejected(one: Judged): void {
    this.out++;
    if (one.isUsable) this.add(one, -1);
    one.isUsable = false;
  }

  /**
   * Mean share of failures of the others, each counting alike: one that fails fast, and so draws the requests, does not outvote the rest. Who has shown nothing
   * does not count; 0 when nobody has.
   */
  shareOfOthers(one: Judged, isHard: boolean): number {
    let sum = isHard ? this.hardSum : this.badSum;
    let known = isHard ? this.hardKnown : this.badKnown;
    const own = one.isUsable ? shareOf(one, isHard) : -1;
    if (own >= 0) {
      sum -= own;
      known--;
    }
    return known === 0 ? 0 : Math.max(0, sum / known);
  }

  private add(one: Judged, sign: number): void {
    const bad = shareOf(one, false);
    const hard = shareOf(one, true);
    this.usable += sign;
    if (bad >= 0) {
      this.badSum += sign * bad;
      this.badKnown += sign;
    }
    if (hard >= 0) {
      this.hardSum += sign * hard;
      this.hardKnown += sign;
    }
  }
}

/** 0..1; -1: it has shown nothing. */
function shareOf(one: Judged, isHard: boolean): number {
  const run = isHard ? one.hardStreak : one.streak;
  if (run >= FAILING_RUN) return 1;
  const share = one.recent.share(isHard);
  if (share >= 0) return share;
  // Nothing ended within the window: what it showed last.
  return run > 0 ? 1 : one.wasGood ? 0 : -1;
}
