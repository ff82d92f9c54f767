/**
 * The control process's door: slots and names, health, admin and weight, stripes, the epoch. Nothing here is hot.
 *
 * One control process at a time. A successor attaches to the same memory and finds everything by name.
 */
import { assert } from '../base/assert.ts';
import { sharedClockMs } from '../base/shared-clock.ts';
import { bucketOf } from './buckets.ts';
import { admin, type ControlWriter, health, type TableReader } from './doors.ts';
import {
  BUCKETS,
  CHECK_STRIDE,
  checkField,
  FILTER_STRIDE,
  header,
  LISTENER_STRIDE,
  listenerField,
  nameState,
  POOL_CHECK_STRIDE,
  POOL_STRIDE,
  poolField,
  SLOT_STRIDE,
  SLOT_TIMES_STRIDE,
  slotField,
  stripeField,
  stripeState,
  word,
} from './layout.ts';
import { Names } from './names.ts';
import { Reader } from './reader.ts';
import { kindOf, Rows, rowKind } from './rows.ts';

/** Effective state of an endpoint; label of weir_pool_endpoints and weir_endpoint_transitions_total. */
export const endpointState = Object.freeze({ ready: 0, down: 1, drain: 2, maint: 3, ejected: 4, slowStart: 5 });
export const endpointStateNames: readonly string[] = ['ready', 'down', 'drain', 'maint', 'ejected', 'slow-start'];

export class ControlDoor extends Reader implements ControlWriter {
  private readonly slots: Names;
  private readonly names: { listener: Names; route: Names; pool: Names; filter: Names };
  /** Epoch in force when the slot was released; absent: in use. */
  private readonly releasedAt = new Map<number, number>();

  private readonly clock: () => number;

  /** `clock`: the shared clock, in ms. */
  constructor(buffer: ArrayBufferLike, clock: () => number = sharedClockMs) {
    super(buffer);
    this.clock = clock;
    const { layout } = this;
    const { slotsMax, listenersMax, routesMax, poolsMax, filtersMax } = layout.sizes;
    this.slots = new Names(buffer, layout.slotNames, slotsMax);
    this.names = {
      listener: new Names(buffer, layout.listenerNames, listenersMax),
      route: new Names(buffer, layout.routeNames, routesMax),
      pool: new Names(buffer, layout.poolNames, poolsMax),
      filter: new Names(buffer, layout.filterNames, filtersMax),
    };
    for (let slot = 0; slot < this.slots.high; slot++) {
      if (this.slots.state(slot) === nameState.leaving) this.releasedAt.set(slot, this.epoch());
    }
  }

  claimSlot(pool: string, address: string): number {
    const poolId = this.claimId('pool', pool);
    if (poolId < 0) return -1;
    const known = this.slots.find(poolId, address);
    if (known >= 0) {
      this.slots.setState(known, nameState.claimed);
      this.releasedAt.delete(known);
      return known;
    }
    const fresh = this.slots.add(poolId, address);
    const slot = fresh >= 0 ? fresh : this.recycle(poolId, address);
    if (slot < 0) return -1;
    this.i32[this.layout.slotPool / 4 + slot] = poolId;
    this.f64[this.layout.readySince / 8 + slot] = 0;
    this.store(slot, health.unknown, admin.ready, 0, 100);
    return slot;
  }

  releaseSlot(slot: number): void {
    assert(slot >= 0 && slot < this.slots.high, 'a slot that was claimed');
    this.slots.setState(slot, nameState.leaving);
    this.releasedAt.set(slot, this.epoch());
  }

  claimId(kind: 'listener' | 'route' | 'pool' | 'filter', text: string): number {
    const names = this.names[kind];
    const known = names.find(0, text);
    return known >= 0 ? known : names.add(0, text);
  }

  setHealth(slot: number, to: number): void {
    this.change(slot, to, this.admin(slot), this.flags(slot), this.weightPercent(slot));
  }
  setAdmin(slot: number, to: number): void {
    // What it keeps, and that it is cut, is said of one drain.
    this.change(slot, this.health(slot), to, this.flags(slot) & ~(word.keeps | word.cut), this.weightPercent(slot));
  }
  setEjected(slot: number, isEjected: boolean): void {
    this.mark(slot, word.ejected, isEjected);
  }
  setKeeps(slot: number, keeps: boolean): void {
    this.mark(slot, word.keeps, keeps);
  }
  setCut(slot: number, isCut: boolean): void {
    const isNew = isCut && !this.isCut(slot);
    this.mark(slot, word.cut, isCut);
    if (isNew) Atomics.add(this.i32, header.cuts, 1);
  }
  setWeightPercent(slot: number, percent: number): void {
    assert(percent >= 0 && percent <= word.percentMask, 'a weight in percent is 0..32767');
    this.change(slot, this.health(slot), this.admin(slot), this.flags(slot), Math.round(percent));
  }

  setEpoch(epoch: number): void {
    Atomics.store(this.i32, header.epoch, epoch);
  }

  claimStripe(): number {
    const { i32 } = this;
    const { stripesMax } = this.layout.sizes;
    for (let stripe = 0; stripe < stripesMax; stripe++) {
      if (i32[header.stripes + stripe] !== stripeState.free) continue;
      i32[header.stripes + stripe] = stripeState.used;
      if (stripe >= i32[header.stripesHigh]!) Atomics.store(i32, header.stripesHigh, stripe + 1);
      return stripe;
    }
    return -1;
  }

  /** Is this stripe claimed? A control process that attaches asks this, and {@link heartbeatOf}, to learn which workers live. */
  isStripeUsed(stripe: number): boolean {
    return this.i32[header.stripes + stripe] === stripeState.used;
  }

  releaseStripe(stripe: number): void {
    assert(this.isStripeUsed(stripe), 'a stripe that is in use');
    const { i32, layout } = this;
    const start = layout.stripes + stripe * layout.stripeBytes;
    const dead = layout.stripes + layout.sizes.stripesMax * layout.stripeBytes;
    for (let slot = 0; slot < this.slots.high; slot++) {
      i32[(start + layout.inFlight) / 4 + slot] = 0;
      i32[(start + layout.wiresIdle) / 4 + slot] = 0;
      i32[(start + layout.wiresBusy) / 4 + slot] = 0;
      const row = layout.slots + 8 * slot * SLOT_STRIDE;
      // What it knew of latency is forgotten: a sum that no one ages any more would outweigh the living.
      this.drop(start + row, slotField.latencySum, 3);
      this.drop(start + row, slotField.streak, 1);
      this.drop(start + row, slotField.hardStreak, 1);
      this.drop(start + row, slotField.tunnels, 1);
      this.fold(start + row, dead + row, SLOT_STRIDE);
      this.fold(start + layout.requests + 8 * slot, dead + layout.requests + 8 * slot, 1);
      const times = layout.slotTimes + 8 * slot * SLOT_TIMES_STRIDE;
      this.fold(start + times, dead + times, SLOT_TIMES_STRIDE);
    }
    for (let pool = 0; pool <= layout.sizes.poolsMax; pool++) {
      if (pool >= this.names.pool.high && pool < layout.sizes.poolsMax) continue;
      const row = layout.pools + 8 * pool * POOL_STRIDE;
      this.drop(start + row, poolField.queue, 1);
      this.drop(start + row, poolField.inFlight, 1);
      this.drop(start + row, poolField.retriesNow, 1);
      this.fold(start + row, dead + row, POOL_STRIDE);
    }
    for (let listener = 0; listener <= layout.sizes.listenersMax; listener++) {
      if (listener >= this.names.listener.high && listener < layout.sizes.listenersMax) continue;
      const row = layout.listeners + 8 * listener * LISTENER_STRIDE;
      this.drop(start + row, listenerField.connections, 8);
      this.drop(start + row, listenerField.handshakesNow, 1);
      this.fold(start + row, dead + row, LISTENER_STRIDE);
    }
    for (let filter = 0; filter <= layout.sizes.filtersMax; filter++) {
      if (filter >= this.names.filter.high && filter < layout.sizes.filtersMax) continue;
      const row = layout.filters + 8 * filter * FILTER_STRIDE;
      this.fold(start + row, dead + row, FILTER_STRIDE);
    }
    for (const rows of [layout.exchanges, layout.counts]) {
      const from = new Rows(i32, this.f64, layout, stripe, rows);
      const to = new Rows(i32, this.f64, layout, layout.sizes.stripesMax, rows);
      for (let row = 0; row < from.count; row++) {
        const kind = kindOf(from.hi(row));
        if (kind === rowKind.inFlight) continue;
        const at = kind === rowKind.overflow ? to.overflowAt() : to.find(from.hi(row), from.lo(row));
        this.fold(8 * from.at(row), 8 * at, rows.stride);
      }
      from.clear();
    }
    for (const field of [
      stripeField.logLinesDropped,
      stripeField.exchangeRowsDropped,
      stripeField.countRowsDropped,
      stripeField.limitsForgotten,
      stripeField.datagramsDropped,
    ]) {
      this.fold(start + 8 * field, dead + 8 * field, 1);
    }
    this.drop(start, 0, stripeField.datagramsDropped + 1);
    Atomics.store(i32, header.stripes + stripe, stripeState.free);
    let high = i32[header.stripesHigh]!;
    while (high > 0 && i32[header.stripes + high - 1] === stripeState.free) high--;
    Atomics.store(i32, header.stripesHigh, high);
  }

  heartbeatOf(stripe: number): number {
    return this.ofStripe(stripe, stripeField.heartbeat);
  }
  inForceOf(stripe: number): number {
    return this.ofStripe(stripe, stripeField.inForce);
  }

  /** A health check of this endpoint ended. */
  checked(slot: number, passed: boolean, ms: number): void {
    const { f64, layout } = this;
    f64[layout.checks / 8 + slot * CHECK_STRIDE + (passed ? checkField.passed : checkField.failed)]! += 1;
    const times = layout.poolChecks / 8 + this.poolOf(slot) * POOL_CHECK_STRIDE;
    f64[times + bucketOf(ms)]! += 1;
    f64[times + BUCKETS]! += ms;
  }

  /** A health check of this endpoint could not be made here. */
  notChecked(slot: number): void {
    this.f64[this.layout.checks / 8 + slot * CHECK_STRIDE + checkField.notMade]! += 1;
  }

  /** Endpoints in use, as pool and address by slot. */
  *claimed(): Generator<{ slot: number; pool: string; address: string }> {
    for (let slot = 0; slot < this.slots.high; slot++) {
      if (this.slots.state(slot) !== nameState.claimed) continue;
      yield { slot, pool: this.names.pool.text(this.slots.owner(slot)), address: this.slots.text(slot) };
    }
  }

  private ofStripe(stripe: number, field: number): number {
    return this.f64[(this.layout.stripes + stripe * this.layout.stripeBytes) / 8 + field]!;
  }

  override nowMs(): number {
    return this.clock();
  }

  countEjection(slot: number, cause: number, isShadow: boolean): void {
    const at = this.layout.checks / 8 + slot * CHECK_STRIDE;
    this.f64[at + (isShadow ? checkField.wouldEject : checkField.ejections) + cause]! += 1;
  }

  complaints(): number {
    let sum = 0;
    for (let stripe = 0; stripe < this.i32[header.stripesHigh]!; stripe++) sum += this.ofStripe(stripe, stripeField.complaints);
    return sum;
  }

  poolComplaints(pool: number): number {
    const { f64, layout, i32 } = this;
    const stride = layout.stripeBytes / 8;
    let at = (layout.stripes + layout.pools) / 8 + pool * POOL_STRIDE + poolField.complaints;
    let sum = f64[at + layout.sizes.stripesMax * stride]!;
    for (let left = i32[header.stripesHigh]!; left > 0; left--, at += stride) sum += f64[at]!;
    return sum;
  }

  private flags(slot: number): number {
    return this.i32[this.layout.words / 4 + slot]! & word.flagsMask;
  }

  private mark(slot: number, flag: number, isSet: boolean): void {
    const flags = this.flags(slot);
    const to = isSet ? flags | flag : flags & ~flag;
    this.change(slot, this.health(slot), this.admin(slot), to, this.weightPercent(slot));
  }

  private change(slot: number, toHealth: number, toAdmin: number, flags: number, percent: number): void {
    const before = stateOf(this.health(slot), this.admin(slot), this.isEjected(slot));
    const after = stateOf(toHealth, toAdmin, (flags & word.ejected) !== 0);
    if (before !== after) this.f64[this.layout.checks / 8 + slot * CHECK_STRIDE + checkField.transitions + after]! += 1;
    const wasFit = before === endpointState.ready && this.health(slot) === health.up;
    const isFit = after === endpointState.ready && toHealth === health.up;
    if (isFit && !wasFit) this.f64[this.layout.readySince / 8 + slot] = this.clock();
    this.store(slot, toHealth, toAdmin, flags, percent);
  }

  private store(slot: number, toHealth: number, toAdmin: number, flags: number, percent: number): void {
    const { i32 } = this;
    const at = this.layout.words / 4 + slot;
    const value = toHealth | (toAdmin << word.adminShift) | flags | (percent << word.percentShift);
    if (i32[at] === value) return;
    i32[at] = value;
    Atomics.add(i32, header.version, 1);
  }

  /** A slot that was released and that no worker can touch any more, wiped for a new name; -1 when there is none. */
  private recycle(poolId: number, address: string): number {
    for (const [slot, epoch] of this.releasedAt) {
      if (!this.isQuiet(slot, epoch) || !this.slots.replace(slot, poolId, address)) continue;
      this.releasedAt.delete(slot);
      this.wipe(slot);
      return slot;
    }
    return -1;
  }

  /** A later plan is in force in every worker, nothing is in flight and no wire is open: the one case in which control may write worker columns. */
  private isQuiet(slot: number, releasedAt: number): boolean {
    const { i32, layout } = this;
    if (this.inFlight(slot) !== 0) return false;
    for (let stripe = 0; stripe < i32[header.stripesHigh]!; stripe++) {
      if (!this.isStripeUsed(stripe)) continue;
      if (this.inForceOf(stripe) <= releasedAt) return false;
      const start = layout.stripes + stripe * layout.stripeBytes;
      if (i32[(start + layout.wiresIdle) / 4 + slot] !== 0 || i32[(start + layout.wiresBusy) / 4 + slot] !== 0) return false;
    }
    return true;
  }

  private wipe(slot: number): void {
    const { layout } = this;
    const { stripesMax } = layout.sizes;
    for (let stripe = 0; stripe <= stripesMax; stripe++) {
      // Free stripes hold zeros.
      if (stripe < stripesMax && !this.isStripeUsed(stripe)) continue;
      const start = layout.stripes + stripe * layout.stripeBytes;
      this.drop(start + layout.requests, slot, 1);
      this.drop(start + layout.slots, slot * SLOT_STRIDE, SLOT_STRIDE);
      this.drop(start + layout.slotTimes, slot * SLOT_TIMES_STRIDE, SLOT_TIMES_STRIDE);
    }
    this.drop(layout.checks, slot * CHECK_STRIDE, CHECK_STRIDE);
  }

  /** Adds floats of one place to another and leaves zeros. Skips zeros, so that untouched pages stay untouched. */
  private fold(fromBytes: number, toBytes: number, length: number): void {
    const { f64 } = this;
    const from = fromBytes / 8;
    const to = toBytes / 8;
    for (let i = 0; i < length; i++) {
      if (f64[from + i] === 0) continue;
      f64[to + i]! += f64[from + i]!;
      f64[from + i] = 0;
    }
  }
  private drop(fromBytes: number, index: number, length: number): void {
    this.f64.fill(0, fromBytes / 8 + index, fromBytes / 8 + index + length);
  }
}

/** What admin, health and ejection come to: maintenance hides drain, drain hides a failed check, and that an ejection. */
export function stateOf(itsHealth: number, itsAdmin: number, isEjected: boolean): number {
  if (itsAdmin === admin.maint) return endpointState.maint;
  if (itsAdmin === admin.drain) return endpointState.drain;
  if (itsHealth === health.down) return endpointState.down;
  return isEjected ? endpointState.ejected : endpointState.ready;
}

/** State of a slot now. `slowStartMs` is its pool's. */
export function stateNow(
  table: Pick<TableReader, 'health' | 'admin' | 'isEjected' | 'readySince' | 'nowMs'>,
  slot: number,
  slowStartMs: number,
): number {
  const state = stateOf(table.health(slot), table.admin(slot), table.isEjected(slot));
  if (state !== endpointState.ready || slowStartMs === 0) return state;
  const since = table.readySince(slot);
  return since > 0 && table.nowMs() < since + slowStartMs ? endpointState.slowStart : state;
}
