/**
 * Rows: counters under a key, in one stripe. Open addressing over dense rows: the index says which row, rows lie in the order of their first use,
 * so that few keys touch few pages. Nothing is ever removed.
 *
 * Rules
 * 1. The stripe's owner inserts, others only walk rows [0, count). A row is published by the store of the count, after its key.
 * 2. Row 0 takes what finds no room; its key says so, and the dropped field counts.
 */
import type { Layout, RowsLayout } from './layout.ts';

/*
 * Key, two 32-bit words; ids plus one, so that 0 is "none":
 *   hi: 1 | kind 3 | variant 4 | listener 8 | route 12      the top one says that the row is taken (bit 27)
 *   lo: method 4 | number 10 | pool 12
 */
/** What a count row counts. */
export const rowKind = Object.freeze({ exchange: 0, request: 1, fault: 2, inFlight: 3, overflow: 7 });
const TAKEN = 1 << 27;

/** High word of a key. `variant`: protocol of a request, class of an exchange. Ids -1 = none. */
export function keyHi(kind: number, variant: number, listener: number, route: number): number {
  return TAKEN | (kind << 24) | (variant << 20) | ((listener + 1) << 12) | (route + 1);
}
/** Low word of a key. `number`: status or fault. */
export function keyLo(method: number, number: number, pool: number): number {
  return (method << 22) | (number << 12) | (pool + 1);
}
export function kindOf(hi: number): number {
  return (hi >> 24) & 7;
}
export function variantOf(hi: number): number {
  return (hi >> 20) & 15;
}
export function listenerOf(hi: number): number {
  return ((hi >> 12) & 0xff) - 1;
}
export function routeOf(hi: number): number {
  return (hi & 0xfff) - 1;
}
export function methodOf(lo: number): number {
  return (lo >> 22) & 15;
}
export function numberOf(lo: number): number {
  return (lo >> 12) & 0x3ff;
}
export function poolOf(lo: number): number {
  return (lo & 0xfff) - 1;
}

const OVERFLOW_HI = keyHi(rowKind.overflow, 0, -1, -1);

export class Rows {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly indexAt: number;
  private readonly indexMask: number;
  private readonly keysAt: number;
  private readonly valuesAt: number;
  private readonly stride: number;
  private readonly rowsMax: number;
  private readonly countAt: number;
  private readonly droppedAt: number;

  constructor(i32: Int32Array, f64: Float64Array, layout: Layout, stripe: number, rows: RowsLayout) {
    const start = layout.stripes + stripe * layout.stripeBytes;
    this.i32 = i32;
    this.f64 = f64;
    this.indexAt = (start + rows.index) / 4;
    this.indexMask = rows.indexSize - 1;
    this.keysAt = (start + rows.keys) / 4;
    this.valuesAt = (start + rows.values) / 8;
    this.stride = rows.stride;
    this.rowsMax = rows.rowsMax;
    this.countAt = start / 4 + rows.countWord;
    this.droppedAt = start / 8 + rows.droppedField;
  }

  /** Index in the floats of the row with this key, made when it is new; the overflow row when there is no room. For the owner only. */
  find(hi: number, lo: number): number {
    const { i32, indexAt, indexMask, keysAt } = this;
    let hash = Math.imul(hi ^ Math.imul(lo, 0x85ebca6b), 0xc2b2ae35);
    hash ^= hash >>> 15;
    for (let probe = hash & indexMask; ; probe = (probe + 1) & indexMask) {
      const row = i32[indexAt + probe]!;
      if (row === 0) return this.insert(probe, hi, lo);
      if (i32[keysAt + 2 * row] === hi && i32[keysAt + 2 * row + 1] === lo) return this.valuesAt + row * this.stride;
    }
  }

  private insert(probe: number, hi: number, lo: number): number {
    const { i32, keysAt, countAt } = this;
    let count = i32[countAt]!;
    if (count === 0) {
      i32[keysAt] = OVERFLOW_HI;
      count = 1;
    }
    if (count === this.rowsMax) {
      this.f64[this.droppedAt]! += 1;
      return this.valuesAt;
    }
    i32[keysAt + 2 * count] = hi;
    i32[keysAt + 2 * count + 1] = lo;
    i32[this.indexAt + probe] = count;
    // Who reads the count sees the key: the store is a release, the reader's load an acquire.
    Atomics.store(i32, countAt, count + 1);
    return this.valuesAt + count * this.stride;
  }

  /** Rows in use, the overflow row included. */
  get count(): number {
    return Atomics.load(this.i32, this.countAt);
  }
  hi(row: number): number {
    return this.i32[this.keysAt + 2 * row]!;
  }
  lo(row: number): number {
    return this.i32[this.keysAt + 2 * row + 1]!;
  }
  /** Index in the floats of a row. */
  at(row: number): number {
    return this.valuesAt + row * this.stride;
  }
  /** For the fold of a dead stripe: the overflow row itself. */
  overflowAt(): number {
    if (this.i32[this.countAt] === 0) {
      this.i32[this.keysAt] = OVERFLOW_HI;
      Atomics.store(this.i32, this.countAt, 1);
    }
    return this.valuesAt;
  }

  /** Forgets every row. Only for a stripe nobody writes. */
  clear(): void {
    const { count } = this;
    if (count === 0) return;
    this.i32.fill(0, this.indexAt, this.indexAt + this.indexMask + 1);
    this.i32.fill(0, this.keysAt, this.keysAt + 2 * count);
    this.f64.fill(0, this.valuesAt, this.valuesAt + count * this.stride);
    Atomics.store(this.i32, this.countAt, 0);
  }
}
