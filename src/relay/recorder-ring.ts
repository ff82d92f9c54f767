/**
 * Ring: records of one kind in one piece of memory, the oldest overwritten by the newest. Rings: one of them for each kind, so that none pushes another out.
 *
 * A record is times and sizes (64-bit floats), then numbers (32 bits), then text (latin1 bytes). Where they stand is the business of whoever writes them; only
 * the time of the end is read here.
 *
 * Rule: next() allocates nothing. Memory that no record was written to yet is not held: the kernel gives pages at the first touch.
 */
import type { TlsFacts } from '../base/tls-facts.ts';
import { type RecordKind, recordKinds, type TryRecord } from '../state/channel.ts';
import { type StreamTrail, TRIES_KEPT, TRY_STRIDE, type Trail, tryAt, tryKind } from './trail.ts';

/** Records in one answer. */
export const RECENT_MAX = 200;
/** Longer to the head of an answer, or until an endpoint took a connection: a slow one. */
export const SLOW_MS = 1000;
/** By kind, in the order of {@link recordKinds}. */
const SIZES: readonly number[] = [4096, 512, 1024];
export const kind = Object.freeze({ served: 0, refused: 1, failed: 2 });

/** A try: slot, fault and status (high half), in flight, kind, began and ended as 32-bit floats of ms from the start. */
const TRY_WORDS = 6;
/** Words that the tries of a record take. */
export const TRIES_WORDS = TRIES_KEPT * TRY_WORDS;
const kindNames = ['ordinary', 'hedge', 'fresh'] as const satisfies readonly TryRecord['kind'][];

/** Which records are asked for. */
type Wanted = (ring: Ring, place: number) => boolean;

export class Ring {
  /** Records ever written. */
  count = 0;
  readonly size: number;
  readonly bytesEach: number;
  readonly times: Float64Array;
  readonly numbers: Int32Array;
  readonly floats: Float32Array;
  readonly bytes: Uint8Array;
  /** What the rate limits said of a request; texts made with the plan. */
  readonly limits: string[];
  /** What TLS agreed on: made with the connection, which may be gone. */
  readonly tls: (TlsFacts | null)[];

  /** `bytesEach`: of a record, a multiple of 8. */
  constructor(size: number, bytesEach: number) {
    const buffer = new ArrayBuffer(size * bytesEach);
    this.size = size;
    this.bytesEach = bytesEach;
    this.times = new Float64Array(buffer);
    this.numbers = new Int32Array(buffer);
    this.floats = new Float32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    this.limits = new Array<string>(size).fill('');
    this.tls = new Array<TlsFacts | null>(size).fill(null);
  }

  /** Place of one more record. What stood there is to be overwritten. */
  next(): number {
    return this.count++ % this.size;
  }
}

export class Rings {
  /** In the order of {@link recordKinds}. */
  readonly all: readonly Ring[];
  private readonly sinceMs: number;
  private readonly endedAt: number;

  /** `endedAt`: where the time of the end stands, in words of 8 bytes. `nowMs`: the clock of the records. */
  constructor(bytesEach: number, endedAt: number, nowMs: number) {
    this.all = SIZES.map((size) => new Ring(size, bytesEach));
    this.endedAt = endedAt;
    this.sinceMs = nowMs;
  }

  /** Ms since 1970 from which on all that ended is still here, by kind. `wallMs`: ms since 1970 at `nowMs`. */
  reach(nowMs: number, wallMs: number): Record<RecordKind, number> {
    const since = ({ count, size, times, bytesEach }: Ring): number =>
      wallMs - nowMs + (count < size ? this.sinceMs : times[((count % size) * bytesEach) / 8 + this.endedAt]!);
    const [served, refused, failed] = this.all;
    return { served: since(served!), refused: since(refused!), failed: since(failed!) };
  }

  /** Those that are wanted, at most `most` of each kind, the latest first. */
  collect<T>(most: number, wants: Wanted, read: (ring: Ring, place: number, name: RecordKind) => T): T[] {
    const found: T[] = [];
    this.all.forEach((ring, k) => {
      const { count, size } = ring;
      let left = most;
      for (let i = count - 1; i >= 0 && i >= count - size && left > 0; i--) {
        if (!wants(ring, i % size)) continue;
        found.push(read(ring, i % size, recordKinds[k]!));
        left--;
      }
    });
    return found;
  }
}

/** The latest of records that come from several rings. */
export function latest<T extends { startedAt: number }>(records: T[], most: number): T[] {
  return records.sort((a, b) => b.startedAt - a.startedAt).slice(0, most);
}

/** The number that an id of this process was made of; NaN: it is none. */
export function ownNumber(id: string, idPrefix: string): number {
  const text = id.startsWith(idPrefix) ? id.slice(idPrefix.length) : '';
  const number = Number.parseInt(text, 36);
  return number.toString(36) === text ? number : Number.NaN;
}

/** Writes latin1 text, at most `most` bytes. Returns the end. */
export function writeText(bytes: Uint8Array, at: number, text: string, most: number): number {
  const length = Math.min(text.length, most);
  for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + length;
}

export function readText({ bytes }: Ring, at: number, length: number): string {
  return Buffer.from(bytes.buffer, at, length).toString('latin1');
}

/** Writes the first `count` tries of a trail at place `to` of a ring's numbers. Returns where more of them would stand. */
export function writeTries({ numbers, floats }: Ring, to: number, { tries }: Trail, count: number, startedMs: number): number {
  for (let i = 0; i < count * TRY_STRIDE; i += TRY_STRIDE, to += TRY_WORDS) {
    numbers[to] = tries[i + tryAt.slot]!;
    numbers[to + 1] = tries[i + tryAt.faultId]! | (tries[i + tryAt.status]! << 16);
    numbers[to + 2] = tries[i + tryAt.inFlight]!;
    numbers[to + 3] = tries[i + tryAt.kind]!;
    floats[to + 4] = tries[i + tryAt.beganMs]! - startedMs;
    floats[to + 5] = tries[i + tryAt.endedMs] === 0 ? -1 : tries[i + tryAt.endedMs]! - startedMs;
  }
  return to;
}

/** The same for the latest try of a connection. */
export function writeLastTry({ numbers, floats }: Ring, to: number, last: StreamTrail, startedMs: number): void {
  numbers[to] = last.slot;
  numbers[to + 1] = last.faultId;
  numbers[to + 2] = last.inFlight;
  numbers[to + 3] = tryKind.ordinary;
  floats[to + 4] = last.beganMs - startedMs;
  floats[to + 5] = last.endedMs === 0 ? -1 : last.endedMs - startedMs;
}

/** The tries at place `at` of a ring's numbers. `count`: all there were. */
export function readTries(ring: Ring, at: number, count: number): TryRecord[] {
  return Array.from({ length: Math.min(count, TRIES_KEPT) }, (_, i) => readTry(ring, at + i * TRY_WORDS));
}

function readTry({ numbers, floats }: Ring, at: number): TryRecord {
  const outcome = numbers[at + 1]!;
  return {
    slot: numbers[at]!,
    kind: kindNames[numbers[at + 3]!]!,
    beganMs: rounded(floats[at + 4]!),
    endedMs: rounded(floats[at + 5]!),
    faultId: outcome & 0xffff,
    status: outcome >>> 16,
    inFlight: numbers[at + 2]!,
  };
}

/** To a microsecond. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
