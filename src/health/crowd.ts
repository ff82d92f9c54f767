/** Crowd: the endpoints of a pool taken together, counted once per look, so that each can be compared with the others at little further cost. */
import { admin } from '../state/doors.ts';
import type { Judged } from './judged.ts';
import { medianWithout } from './median.ts';

/** Failures in a row from which an endpoint counts as failing now, whatever its window still holds. */
const FAILING_RUN = 2;

export class Crowd {
  /** Endpoints that nobody took out on purpose; those of them that are ejected. */
  present = 0;
  out = 0;
  /** Endpoints that can take requests. */
  usable = 0;
  // Shares of failures of those that could at the start of the look and have shown one, sorted: of bad ends, and of hard ones.
  private readonly bad: Float64Array;
  private readonly hard: Float64Array;
  private badCount = 0;
  private hardCount = 0;

  constructor(endpoints: number) {
    this.bad = new Float64Array(endpoints);
    this.hard = new Float64Array(endpoints);
  }

  count(judged: readonly Judged[]): void {
    this.present = this.out = this.usable = this.badCount = this.hardCount = 0;
    for (let i = 0; i < judged.length; i++) {
      const one = judged[i]!;
      if (one.admin === admin.ready) this.present++;
      if (one.admin === admin.ready && one.ejection.isOut) this.out++;
      if (!one.isUsable) continue;
      this.usable++;
      const bad = shareOf(one, false);
      const hard = shareOf(one, true);
      if (bad >= 0) this.bad[this.badCount++] = bad;
      if (hard >= 0) this.hard[this.hardCount++] = hard;
    }
    this.bad.subarray(0, this.badCount).sort();
    this.hard.subarray(0, this.hardCount).sort();
  }

  /** This one has just been ejected. What it showed still counts for the rest of the look: those that fail together are seen together. */
  ejected(one: Judged): void {
    this.out++;
    this.usable--;
    one.isUsable = false;
  }

  /**
   * Median of the shares of failures of the others, 0..1: what an ordinary endpoint of this pool shows. A few that are broken, too, do not move it, and one that
   * fails fast, and so draws the requests, counts once like the rest. 0 when nobody has shown anything. `one` could take requests at the start of the look.
   */
  shareOfOthers(one: Judged, isHard: boolean): number {
    const count = isHard ? this.hardCount : this.badCount;
    return count < 2 ? 0 : medianWithout(isHard ? this.hard : this.bad, count, shareOf(one, isHard));
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
