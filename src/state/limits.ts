/**
 * LimitTable: what the rate limits of this node remember: a row for each key seen lately, decided on by all workers together.
 *
 * Law 6 (one writer per column) is broken here on purpose. "At most 100 a second over all workers" has to be known at the moment of the request by whoever
 * has it; with a stripe per worker each decision would add up as many rows as there are workers, and two workers could both spend the last token. So every worker writes
 * every row, and this is how that stays safe:
 *
 * Rules
 * 1. Nothing is locked. Each word changes by itself, by one compareExchange, so a process may be killed between any two instructions: the worst it leaves is one
 *    request of one key not counted.
 * 2. Loops are bounded: after TRIES_MAX lost races a request is counted by an addition, which cannot lose. After CLAIMS_MAX a new key passes uncounted.
 * 3. A row changes its key by compareExchange of its tag, and is marked expired before, so a new key begins with nothing spent. Whoever still held the row for the old
 *    key may write into it once more: that new key may be refused until the old one would have expired. It takes two workers on one row within some 50 ns.
 * 4. A table that is full forgets: of the rows of a set the one that is expired, else the one that expires first. Forgetting lets requests through, it never refuses one.
 * 5. A decision allocates nothing.
 *
 *     row     tag | expires | state 0                   | state 1
 *             0: free       | token bucket: TAT         | -
 *                  ticks    | even windows: mark, count | odd windows: mark, count
 */
import { assert } from '../base/assert.ts';
import { fmix32 } from '../base/hash.ts';
import { type Layout, LIMIT_STRIDE } from './layout.ts';
import type { RateLimitPlan } from './plan.ts';

/** Rows of a set: two cache lines. */
const SET_ROWS = 8;
const SET_WORDS = SET_ROWS * LIMIT_STRIDE;
const EXPIRES = 1;
const STATE = 2;
/** `expires` counts 16 ms: compared by difference modulo 2^32, it tells past from future within 397 days. */
const TICKS_PER_MS = 1 / 16;
/** Longest time a row is kept, in ticks: 198 days. */
const KEPT_TICKS_MAX = 2 ** 30;
/** Lost races before the addition that cannot lose. */
const TRIES_MAX = 16;
/** Lost races for a row before a request passes uncounted. */
const CLAIMS_MAX = 4;

/** Largest `burst` of a token bucket: the whole bucket fits a quarter of the clock's circle, so that the difference of two times is never read the wrong way round. */
export const BURST_MAX = 2 ** 29;
/** Largest `requests` of a sliding window: a count has 24 bits, and some are left for additions that lost their race. */
export const WINDOW_REQUESTS_MAX = 16_000_000;
const COUNT_MASK = 0xffffff;
const MARK_MASK = ~COUNT_MASK;

/** What is wrong with the numbers of a limit, as a sentence, or null. */
export function limitProblem(plan: Pick<RateLimitPlan, 'algorithm' | 'requests' | 'windowMs' | 'burst'>): string | null {
  const { algorithm, requests, windowMs, burst } = plan;
  if (!(Number.isInteger(requests) && requests >= 1 && windowMs > 0))
    return 'a rate limit allows at least one request in its time';
  if (algorithm === 'sliding-window') {
    return requests > WINDOW_REQUESTS_MAX ? `a sliding window counts at most ${WINDOW_REQUESTS_MAX} requests` : null;
  }
  if (!(Number.isInteger(burst) && burst >= 1)) return 'burst is at least 1';
  return burst > BURST_MAX ? `burst is at most ${BURST_MAX}` : null;
}

/** The numbers of one limit, made ready once. */
export class LimitRule {
  readonly isWindow: boolean;
  readonly requests: number;
  readonly windowMs: number;
  /**
   * The clock of a token bucket: a token is `interval` units, a whole number, so no rate is rounded. A unit is a 2^20th of a token, but at least 1 µs (then the circle of
   * 2^32 units lasts over an hour, far longer than a worker's clock may be behind), and at most what lets the whole bucket fit BURST_MAX units.
   */
  readonly unitsPerMs: number;
  readonly interval: number;
  /** How far TAT may be ahead of now for a request to pass: burst - 1 tokens. */
  readonly tolerance: number;

  constructor(plan: Pick<RateLimitPlan, 'algorithm' | 'requests' | 'windowMs' | 'burst'>) {
    const problem = limitProblem(plan);
    assert(problem === null, problem ?? '');
    this.isWindow = plan.algorithm === 'sliding-window';
    this.requests = plan.requests;
    this.windowMs = plan.windowMs;
    const tokenMs = plan.windowMs / plan.requests;
    this.interval = Math.max(1, Math.floor(Math.min(2 ** 20, tokenMs * 1000, BURST_MAX / Math.max(1, plan.burst))));
    this.unitsPerMs = this.interval / tokenMs;
    this.tolerance = (plan.burst - 1) * this.interval;
  }
}

export class LimitTable {
  /** Seeds of the two hashes of a key: where its row is, and which row of there. Random per table, never shown. */
  readonly setSeed: number;
  readonly tagSeed: number;
  /** The shared clock, in ms, at which the next decision is made. Set by who asks; a field, because a fraction that is passed along may be boxed. */
  nowMs = 0.5;
  /** Of the last decision: requests that would pass at once after it. */
  remaining = 0;
  /** Of the last decision: whole ms, at least 1, until one more passes when those are spent at once. */
  nextMs = 1;
  /** Rows in use that this process took from their key because their set was full. */
  evicted = 0;
  private readonly i32: Int32Array;
  private readonly start: number;
  private readonly setMask: number;

  constructor(i32: Int32Array, layout: Layout, seed: number) {
    const { limitRowsMax } = layout.sizes;
    assert(limitRowsMax >= SET_ROWS && (limitRowsMax & (limitRowsMax - 1)) === 0, 'the rows of limits are a power of two');
    this.i32 = i32;
    this.start = layout.limits / 4;
    this.setMask = limitRowsMax / SET_ROWS - 1;
    this.setSeed = fmix32(seed ^ 0x3c6ef372);
    this.tagSeed = fmix32(seed ^ 0xa54ff53a);
  }

  /**
   * May the request of this key pass at {@link nowMs}? When it may, it is counted. The key is its two hashes. {@link remaining} and {@link nextMs} tell
   * the rest.
   */
  take(rule: LimitRule, setHash: number, tagHash: number): boolean {
    const tag = tagHash | 0 || 1;
    let at = this.find(setHash, tag);
    if (at < 0) at = this.claim(setHash, tag);
    if (at >= 0) return this.decide(rule, at, true);
    this.remaining = 0;
    this.nextMs = 1;
    return true;
  }

  /** What {@link take} would say, without counting. */
  peek(rule: LimitRule, setHash: number, tagHash: number): boolean {
    return this.decide(rule, this.find(setHash, tagHash | 0 || 1), false);
  }

  private tick(): number {
    return (this.nowMs * TICKS_PER_MS) | 0;
  }

  private find(setHash: number, tag: number): number {
    const { i32 } = this;
    const first = this.start + (setHash & this.setMask) * SET_WORDS;
    for (let at = first; at < first + SET_WORDS; at += LIMIT_STRIDE) if (Atomics.load(i32, at) === tag) return at;
    return -1;
  }

  /** A row for a key that has none; -1 when every one was snatched away. */
  private claim(setHash: number, tag: number): number {
    const { i32 } = this;
    const tick = this.tick();
    const first = this.start + (setHash & this.setMask) * SET_WORDS;
    for (let tries = 0; tries < CLAIMS_MAX; tries++) {
      let victim = first;
      let owner = 0;
      let lateMost = -Infinity;
      for (let at = first; at < first + SET_WORDS; at += LIMIT_STRIDE) {
        const its = Atomics.load(i32, at);
        if (its === tag) return at;
        const late = its === 0 ? Infinity : (tick - Atomics.load(i32, at + EXPIRES)) | 0;
        if (late <= lateMost) continue;
        victim = at;
        owner = its;
        lateMost = late;
      }
      Atomics.store(i32, victim + EXPIRES, (tick - 1) | 0);
      if (Atomics.compareExchange(i32, victim, owner, tag) !== owner) continue;
      if (lateMost <= 0) this.evicted++;
      return victim;
    }
    return -1;
  }

  /** `at` -1: a key without a row. */
  private decide(rule: LimitRule, at: number, takes: boolean): boolean {
    // What an expired row still holds may be of another key, or of a time that came round again.
    const isFresh = at < 0 || ((Atomics.load(this.i32, at + EXPIRES) - this.tick()) | 0) < 0;
    return rule.isWindow ? this.window(rule, at, isFresh, takes) : this.bucket(rule, at, isFresh, takes);
  }

  /**
   * Token bucket as the generic cell rate algorithm (ITU-T I.371, virtual scheduling): TAT is the time at which the bucket will be full; a request moves it on by one
   * token, and passes when that leaves it at most `burst` tokens ahead of now.
   */
  private bucket(rule: LimitRule, at: number, isFresh: boolean, takes: boolean): boolean {
    const { i32 } = this;
    const { interval, tolerance, unitsPerMs } = rule;
    const now = (this.nowMs * unitsPerMs) | 0;
    let ahead = 0;
    for (let tries = 0; ; tries++) {
      const tat = at < 0 ? now : Atomics.load(i32, at + STATE);
      ahead = isFresh ? 0 : (tat - now) | 0;
      // In the past: full.
      if (ahead < 0) ahead = 0;
      if (ahead > tolerance) {
        this.remaining = 0;
        this.nextMs = wholeMs((ahead - tolerance) / unitsPerMs);
        return false;
      }
      if (!takes) break;
      if (tries === TRIES_MAX) {
        Atomics.add(i32, at + STATE, interval);
        break;
      }
      if (Atomics.compareExchange(i32, at + STATE, tat, (now + ahead + interval) | 0) === tat) break;
      // The other who moved it has only just begun the row's life.
      isFresh = false;
    }
    ahead += interval;
    if (takes) this.keep(at, ticksOf(ahead / unitsPerMs));
    this.remaining = ((tolerance + interval - ahead) / interval) | 0;
    this.nextMs = wholeMs((ahead - tolerance + this.remaining * interval) / unitsPerMs);
    return true;
  }

  /**
   * Sliding window by two counters: what the previous window let through, for the share of it that a window ending now still covers, plus what this one did.
   * The counter of a window lies in the word of its parity and carries its number, so nothing has to be moved when a window ends.
   */
  private window(rule: LimitRule, at: number, isFresh: boolean, takes: boolean): boolean {
    const { i32, nowMs } = this;
    const { requests, windowMs } = rule;
    const number = Math.floor(nowMs / windowMs);
    const leftMs = (number + 1) * windowMs - nowMs;
    const mark = number << 24;
    const previousMark = (number - 1) << 24;
    const current = at + STATE + (number & 1);
    const other = at + STATE + 1 - (number & 1);
    let previous = 0;
    if (at >= 0) {
      const word = Atomics.load(i32, other);
      const age = ((word & MARK_MASK) - previousMark) >> 24;
      // What is older is wiped, so that its number is gone before the numbers come round (they have 8 bits).
      if (isFresh || age < 0) {
        if (takes) Atomics.compareExchange(i32, other, word, previousMark);
      } else if (age === 0) previous = word & COUNT_MASK;
    }
    const before = (previous * leftMs) / windowMs;
    let count = 0;
    for (let tries = 0; ; tries++) {
      const word = at < 0 ? 0 : Atomics.load(i32, current);
      // A later number: this worker's clock is behind, and it counts along.
      const isOurs = !isFresh && ((word & MARK_MASK) - mark) >> 24 >= 0;
      count = isOurs ? word & COUNT_MASK : 0;
      if (before + count + 1 > requests) {
        this.remaining = 0;
        this.nextMs = this.nextOfWindow(rule, previous, count);
        return false;
      }
      if (!takes) break;
      if (tries === TRIES_MAX) {
        Atomics.add(i32, current, 1);
        break;
      }
      if (Atomics.compareExchange(i32, current, word, (isOurs ? word : mark) + 1) === word) break;
      isFresh = false;
    }
    count++;
    if (takes) this.keep(at, ticksOf(leftMs + windowMs));
    this.remaining = (requests - before - count) | 0;
    this.nextMs = this.nextOfWindow(rule, previous, count + this.remaining);
    return true;
  }

  /** When a sliding window that is used up lets one more through, in ms. */
  private nextOfWindow(rule: LimitRule, previous: number, count: number): number {
    const { nowMs } = this;
    const { requests, windowMs } = rule;
    const leftMs = (Math.floor(nowMs / windowMs) + 1) * windowMs - nowMs;
    const room = requests - 1;
    // The previous window fades to nothing until this one ends; then this one fades.
    if (count <= room) return wholeMs(leftMs - ((room - count) / previous) * windowMs);
    return wholeMs(leftMs + (1 - room / count) * windowMs);
  }

  /** The row is needed for so long; it may be already for longer. */
  private keep(at: number, ticks: number): void {
    const { i32 } = this;
    const expires = (this.tick() + ticks) | 0;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const seen = Atomics.load(i32, at + EXPIRES);
      if (((expires - seen) | 0) <= 0 || Atomics.compareExchange(i32, at + EXPIRES, seen, expires) === seen) return;
    }
  }
}

function ticksOf(ms: number): number {
  return Math.min(KEPT_TICKS_MAX, Math.ceil(ms * TICKS_PER_MS) + 1) | 0;
}

/** Rounded up, at least 1, at most 24 days: an integer that is kept without a box. */
function wholeMs(ms: number): number {
  return Math.min(0x7fffffff, Math.max(1, Math.ceil(ms))) | 0;
}
