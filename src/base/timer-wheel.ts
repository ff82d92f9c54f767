/**
 * Timer wheel: many deadlines, few of which ever fire. Setting and cancelling cost a few array stores, whatever the number of timers.
 *
 * Four levels of 256 slots; a slot of level n spans 256^n ticks. A timer sits in the coarsest level its distance needs and moves down
 * ("cascades") when the wheel enters its slot:
 *
 *     level 0   4 ms a slot     up to 1 s
 *     level 1   1 s             up to 4.4 min
 *     level 2   4.4 min         up to 18.6 h
 *     level 3   18.6 h          up to 198 days
 *
 * Rules
 * 1. A timer never fires early, and fires in the first advance() whose time is one tick or more after it was due.
 * 2. Timers of different ticks fire in the order of their ticks; within one tick in any order.
 * 3. Setting and cancelling inside onTimer are fine. A timer set there never fires in the tick that is firing.
 * 4. Cancelling a ticket that has fired or was cancelled does nothing: tickets carry a generation.
 */
import { assert } from './assert.ts';
import type { TimerOwner } from './wire.ts';

/** Width of a slot of level 0: the most a timer is late. Engines promise 10 ms, and may themselves be some ms late. */
export const TICK_MS = 4;
/** The longest delay: half of what the four levels span. */
export const DELAY_MS_MAX = 2 ** 31 * TICK_MS;
/** Timers of one process, set by the 19 bits a ticket has for the place. Three for each of 170,000 connections. */
export const TIMERS_MAX = 2 ** 19;
/** Not a ticket: what an owner keeps while it has no timer. Cancelling it does nothing. */
export const NO_TIMER = 0;

const LEVELS = 4;
const SLOTS = 256;
const WORDS = SLOTS / 32;
const PLACES_MIN = 1024;
const PLACE_BITS = 19;
/** With 19 bits for the place and the sign bit kept 0, a ticket is a small integer of V8: storing it allocates nothing. */
const GENERATION_MAX = 2 ** (31 - PLACE_BITS) - 1;
const NONE = -1;

export class TimerWheel {
  /** Time of the last advance(). Delays count from here; whoever sets timers between advances may move it forward first. */
  now: number;
  /** Timers set and not yet fired. */
  count: number;

  private readonly start: number;
  /** The last tick that fired. */
  private tick: number;
  /** No slot fires or cascades before this tick. Too small when what made it so was cancelled; found anew once it is reached. */
  private nearest: number;
  /** First and last place of the list of each slot, level by level, and a bit for each slot that is not empty. */
  private readonly first: Int32Array;
  private readonly last: Int32Array;
  private readonly filled: Int32Array;
  // One entry a place. `next` also chains the free places; `slot` is NONE for these.
  private next: Int32Array;
  private previous: Int32Array;
  private slot: Int32Array;
  private kind: Int32Array;
  private generation: Int32Array;
  private dueTick: Float64Array;
  private readonly owners: (TimerOwner | null)[];
  private freeFirst: number;
  private freeLast: number;
  private freeCount: number;

  /** `startMs`: the time now, on the clock that advance() will be given. */
  constructor(startMs: number) {
    this.now = startMs;
    this.count = 0;
    this.start = Math.floor(startMs);
    this.tick = 0;
    this.nearest = Infinity;
    this.first = new Int32Array(LEVELS * SLOTS).fill(NONE);
    this.last = new Int32Array(LEVELS * SLOTS).fill(NONE);
    this.filled = new Int32Array(LEVELS * WORDS);
    this.next = new Int32Array(0);
    this.previous = new Int32Array(0);
    this.slot = new Int32Array(0);
    this.kind = new Int32Array(0);
    this.generation = new Int32Array(0);
    this.dueTick = new Float64Array(0);
    this.owners = [];
    this.freeFirst = NONE;
    this.freeLast = NONE;
    this.freeCount = 0;
    this.grow(PLACES_MIN);
  }

  /** `owner.onTimer(kind)` at `now + ms`, at most one tick late. Returns a ticket, never {@link NO_TIMER}. */
  set(ms: number, owner: TimerOwner, kind: number): number {
    assert(ms >= 0 && ms <= DELAY_MS_MAX, 'a delay is between 0 and DELAY_MS_MAX');
    // A quarter is kept free, so that a place is used again late and its generation takes long to come round: below the limit, a
    // ticket kept after it fired sees at least 256 x 4095 further timers before it can mean another one.
    const places = this.next.length;
    if (this.freeCount <= places >> 2 && places < TIMERS_MAX) this.grow(places * 2);
    const place = this.freeFirst;
    assert(place !== NONE, 'there are at most TIMERS_MAX timers');
    this.freeFirst = this.next[place]!;
    this.freeCount--;
    this.count++;
    const due = Math.ceil((this.now + ms - this.start) / TICK_MS);
    this.dueTick[place] = due > this.tick ? due : this.tick + 1;
    this.kind[place] = kind;
    this.owners[place] = owner;
    this.link(place);
    return (this.generation[place]! << PLACE_BITS) | place;
  }

  /** The timer will not fire. Harmless when it has, or for {@link NO_TIMER}. */
  cancel(ticket: number): void {
    const place = ticket & (TIMERS_MAX - 1);
    if (place >= this.next.length || this.slot[place] === NONE || this.generation[place] !== ticket >> PLACE_BITS) return;
    this.unlink(place);
    this.give(place);
  }

  /** Fires what is due at `nowMs`. A time before the last one counts as the last one. Not to be called from onTimer. */
  advance(nowMs: number): void {
    if (nowMs > this.now) this.now = nowMs;
    const target = Math.floor((this.now - this.start) / TICK_MS);
    while (this.nearest <= target) {
      this.tick = this.nearest;
      this.enter();
      this.nearest = this.tick + this.nextDistance();
    }
    if (target > this.tick) this.tick = target;
  }

  /** Ms from `nowMs` until something may be due: not too large, perhaps too small. Infinity when no timer is set. */
  nextMs(nowMs: number): number {
    return Math.max(this.start + this.nearest * TICK_MS - nowMs, 0);
  }

  /** Cascades what the tick brings down, then fires it. */
  private enter(): void {
    // `>>>` and `&` take a number modulo 2^32, which is just what four levels of 8 bits count, so ticks beyond 2^32 (198 days) are no
    // special case.
    const { tick } = this;
    if ((tick & 0xff) === 0) {
      if ((tick & 0xffff) === 0) {
        if ((tick & 0xffffff) === 0) this.cascade(3 * SLOTS + ((tick >>> 24) & 0xff));
        this.cascade(2 * SLOTS + ((tick >>> 16) & 0xff));
      }
      this.cascade(SLOTS + ((tick >>> 8) & 0xff));
    }
    const slot = tick & 0xff;
    for (let place = this.first[slot]!; place !== NONE; place = this.first[slot]!) {
      const owner = this.owners[place]!;
      const kind = this.kind[place]!;
      this.unlink(place);
      this.give(place);
      owner.onTimer(kind);
    }
  }

  private cascade(slot: number): void {
    let place = this.first[slot]!;
    if (place === NONE) return;
    this.first[slot] = NONE;
    this.last[slot] = NONE;
    this.filled[slot >> 5]! &= ~(1 << (slot & 31));
    while (place !== NONE) {
      const next = this.next[place]!;
      this.link(place);
      place = next;
    }
  }

  /** Puts a place at the end of the slot its due tick asks for. */
  private link(place: number): void {
    const due = this.dueTick[place]!;
    const distance = due - this.tick;
    let slot = due & 0xff;
    let begin = due;
    if (distance >= 0x100) {
      const level = distance >= 0x1000000 ? 3 : distance >= 0x10000 ? 2 : 1;
      slot = level * SLOTS + ((due >>> (level * 8)) & 0xff);
      begin = due - (due & ((1 << (level * 8)) - 1));
    }
    if (begin < this.nearest) this.nearest = begin;
    const before = this.last[slot]!;
    this.slot[place] = slot;
    this.next[place] = NONE;
    this.previous[place] = before;
    this.last[slot] = place;
    if (before === NONE) {
      this.first[slot] = place;
      this.filled[slot >> 5]! |= 1 << (slot & 31);
    } else this.next[before] = place;
  }

  private unlink(place: number): void {
    const slot = this.slot[place]!;
    const next = this.next[place]!;
    const before = this.previous[place]!;
    if (before === NONE) this.first[slot] = next;
    else this.next[before] = next;
    if (next === NONE) this.last[slot] = before;
    else this.previous[next] = before;
    if (before === NONE && next === NONE) this.filled[slot >> 5]! &= ~(1 << (slot & 31));
  }

  /** Back to the end of the free list, under a new generation. */
  private give(place: number): void {
    if (--this.count === 0) this.nearest = Infinity;
    this.owners[place] = null;
    this.slot[place] = NONE;
    const generation = this.generation[place]!;
    this.generation[place] = generation === GENERATION_MAX ? 1 : generation + 1;
    this.addFree(place);
  }

  private addFree(place: number): void {
    this.next[place] = NONE;
    if (this.freeLast === NONE || this.freeCount === 0) this.freeFirst = place;
    else this.next[this.freeLast] = place;
    this.freeLast = place;
    this.freeCount++;
  }

  /** Ticks until a slot fires or cascades. */
  private nextDistance(): number {
    const { tick } = this;
    let nearest = this.search(0, tick & 0xff);
    for (let level = 1, shift = 8; level < LEVELS; level++, shift += 8) {
      // A slot of this level begins where all lower bits of the tick are 0.
      const slots = this.search(level, (tick >>> shift) & 0xff);
      const distance = slots * 2 ** shift - ((tick >>> 0) % 2 ** shift);
      if (distance < nearest) nearest = distance;
    }
    return nearest;
  }

  /** Distance in slots, 1..256, from `slot` to the next one of this level that is not empty; Infinity when all are. */
  private search(level: number, slot: number): number {
    const { filled } = this;
    const base = level * WORDS;
    const from = (slot + 1) & 0xff;
    for (let step = 0; step <= WORDS; step++) {
      const word = ((from >> 5) + step) & (WORDS - 1);
      let bits = filled[base + word]!;
      // The word the search begins in is looked at twice: its upper bits first, its lower ones last.
      if (step === 0) bits &= -1 << (from & 31);
      else if (step === WORDS) bits &= ~(-1 << (from & 31));
      if (bits !== 0) {
        const found = word * 32 + 31 - Math.clz32(bits & -bits);
        return ((found - from) & 0xff) + 1;
      }
    }
    return Infinity;
  }

  private grow(places: number): void {
    const before = this.next.length;
    this.next = widen(this.next, places);
    this.previous = widen(this.previous, places);
    this.slot = widen(this.slot, places);
    this.kind = widen(this.kind, places);
    this.generation = widen(this.generation, places);
    const dueTick = new Float64Array(places);
    dueTick.set(this.dueTick);
    this.dueTick = dueTick;
    for (let place = before; place < places; place++) {
      this.slot[place] = NONE;
      this.generation[place] = 1;
      this.owners.push(null);
      this.addFree(place);
    }
  }
}

function widen(from: Int32Array, length: number): Int32Array {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}
