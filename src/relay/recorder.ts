/**
 * Recorder: the flight recorder of one worker. It keeps what was decided on the last requests, always, so that a request id from a log line or a
 * header can still be asked about. What was carried as it is stands in recorder-streams.ts.
 *
 * A ring for each kind of request, so that none pushes another out:
 *
 *     served    answered as usual                                                      4096
 *     refused   turned away by weir, or broken off by the client: 4xx                   512
 *     failed    answered 5xx, no answer, tried more than once, or slow                 1024
 *
 * A record is 512 bytes: 88 of times and sizes, 168 of numbers, 256 of text (request id, client, host, path, detail). 2.75 MiB in all.
 *
 * Rules
 * 1. add() allocates nothing and reads no clock. Text is cut to its room, and its record says so.
 * 2. The query is not kept: it may hold secrets. Neither is any header field or body.
 * 3. Numbers are as in the plan of their epoch (ids, slots); names are the reader's business.
 */
import { faults } from '../base/faults.ts';
import { methodNames } from '../base/head.ts';
import type { RecordFilter, RecordKind, RequestRecord } from '../state/channel.ts';
import { protocolNames, stickyResultNames } from '../state/doors.ts';
import type { Exchange } from './exchange.ts';
import {
  kind,
  latest,
  ownNumber,
  RECENT_MAX,
  type Ring,
  Rings,
  readText,
  readTries,
  rounded,
  SLOW_MS,
  writeText,
  writeTries,
} from './recorder-ring.ts';
import { StreamRecorder } from './recorder-streams.ts';
import { TRIES_KEPT } from './trail.ts';

export { RECENT_MAX, SLOW_MS } from './recorder-ring.ts';

const RECORD_BYTES = 512;
const RECORD_WORDS = RECORD_BYTES / 4;
const TIMES_WORDS = RECORD_BYTES / 8;
/** Where a record's numbers begin, in words of 4 bytes, and its text, in bytes. */
const NUMBERS_AT = 22;
const TEXT_AT = 256;
/** W3C trace ids have 55 characters, weir's own about 15. A longer id of a trusted peer is found by its start and its length. */
const ID_BYTES_MAX = 64;
/** An IPv6 address has at most 45 characters. */
const CLIENT_BYTES_MAX = 45;
const HOST_BYTES_MAX = 64;
/** Host and path together. */
const TARGET_BYTES_MAX = 128;

/** Places of times and sizes, in words of 8 bytes. Times are monotonic ms, or ms of waiting. */
const time = Object.freeze({
  started: 0,
  began: 1,
  sent: 2,
  answered: 3,
  ended: 4,
  queued: 5,
  waited: 6,
  lost: 7,
  bytesIn: 8,
  bytesOut: 9,
  /** Of the request, from which its id was made. */
  number: 10,
});

/** Places of numbers, in words of 4 bytes from NUMBERS_AT. */
const number = Object.freeze({
  epoch: 0,
  listener: 1,
  route: 2,
  pool: 3,
  method: 4,
  protocol: 5,
  status: 6,
  upstreamStatus: 7,
  faultId: 8,
  flags: 9,
  key: 10,
  sticky: 11,
  clientPort: 12,
  poolInFlight: 13,
  triesCount: 14,
  /** Of an id that came from a trusted peer, all of it; 0: the id is weir's own. */
  idLength: 15,
  /** Lengths of what is kept: id, client, detail, from the low byte up; host, path. */
  kept: 16,
  targetKept: 17,
  tries: 18,
});

const flag = Object.freeze({ trusted: 1, secure: 2, reused: 4, tunnel: 8, queued: 16, fellBack: 32, cut: 64 });

/** What is read of a finished exchange. */
export type Finished = Pick<
  Exchange,
  | 'facts'
  | 'record'
  | 'trail'
  | 'runtime'
  | 'listener'
  | 'head'
  | 'route'
  | 'pool'
  | 'protocol'
  | 'status'
  | 'upstreamStatus'
  | 'faultId'
  | 'detail'
  | 'number'
  | 'key'
  | 'sticky'
  | 'queuedMs'
  | 'wasQueued'
  | 'fallbacks'
  | 'isReused'
  | 'isTunnel'
  | 'startedMs'
  | 'beganMs'
  | 'sentMs'
  | 'headMs'
  | 'endedMs'
  | 'waitedMs'
  | 'lostMs'
  | 'bytesIn'
  | 'bytesOut'
>;

export class Recorder {
  /** What was carried as it is. */
  readonly connections: StreamRecorder;
  readonly datagrams: StreamRecorder;
  private readonly rings: Rings;
  private readonly idPrefix: string;

  /** `idPrefix`: weir's own ids are this and the number in base 36. `nowMs`: monotonic, the clock of the exchanges. */
  constructor(idPrefix: string, nowMs: number) {
    this.idPrefix = idPrefix;
    this.rings = new Rings(RECORD_BYTES, time.ended, nowMs);
    this.connections = new StreamRecorder('tcp', idPrefix, nowMs);
    this.datagrams = new StreamRecorder('udp', idPrefix, nowMs);
  }

  /** Notes an exchange that is over, before it is cleared. */
  add(e: Finished): void {
    const { facts, record, trail, startedMs } = e;
    const ring = this.rings.all[kindOf(e)]!;
    const { times, numbers, bytes } = ring;
    const place = ring.next();
    const t = place * TIMES_WORDS;
    times[t + time.started] = startedMs;
    times[t + time.began] = e.beganMs;
    times[t + time.sent] = e.sentMs;
    times[t + time.answered] = e.headMs;
    times[t + time.ended] = e.endedMs;
    times[t + time.queued] = e.queuedMs;
    times[t + time.waited] = e.waitedMs;
    times[t + time.lost] = e.lostMs;
    times[t + time.bytesIn] = e.bytesIn;
    times[t + time.bytesOut] = e.bytesOut;
    times[t + time.number] = e.number;
    ring.limits[place] = facts.limit;
    ring.tls[place] = record.tls;

    const n = place * RECORD_WORDS + NUMBERS_AT;
    numbers[n + number.epoch] = e.runtime!.plan.epoch;
    numbers[n + number.listener] = e.listener!.plan.id;
    numbers[n + number.route] = e.route === null ? -1 : e.route.plan.id;
    numbers[n + number.pool] = e.pool === null ? -1 : e.pool.plan.id;
    numbers[n + number.method] = e.head === null ? -1 : e.head.method;
    numbers[n + number.protocol] = e.protocol;
    numbers[n + number.status] = e.status;
    numbers[n + number.upstreamStatus] = e.upstreamStatus;
    numbers[n + number.faultId] = e.faultId;
    numbers[n + number.key] = e.key;
    numbers[n + number.sticky] = e.sticky;
    numbers[n + number.clientPort] = facts.clientPort;
    numbers[n + number.poolInFlight] = trail.poolInFlight;
    numbers[n + number.triesCount] = trail.count;
    writeTries(ring, n + number.tries, trail, Math.min(trail.count, TRIES_KEPT), startedMs);

    const textStart = place * RECORD_BYTES + TEXT_AT;
    let at = textStart;
    // Only under a trusted peer the id can be another than the one made of the number.
    if (facts.peerIsTrusted) at = writeText(bytes, at, facts.id, ID_BYTES_MAX);
    numbers[n + number.idLength] = facts.peerIsTrusted ? facts.id.length : 0;
    let kept = at - textStart;
    let from = at;
    at = writeText(bytes, at, facts.client, CLIENT_BYTES_MAX);
    kept |= (at - from) << 8;
    let isCut = 0;
    let host = 0;
    let path = 0;
    if (e.head !== null) {
      const { hostStart, hostEnd, pathStart, pathEnd } = record;
      host = Math.min(hostEnd - hostStart, HOST_BYTES_MAX);
      path = Math.min(pathEnd - pathStart, TARGET_BYTES_MAX - host);
      if (host < hostEnd - hostStart || path < pathEnd - pathStart) isCut = flag.cut;
      at = writeBytes(bytes, at, record.bytes, hostStart, hostStart + host);
      at = writeBytes(bytes, at, record.bytes, pathStart, pathStart + path);
    }
    numbers[n + number.targetKept] = host | (path << 16);
    from = at;
    if (e.faultId !== 0) at = writeText(bytes, at, e.detail, (place + 1) * RECORD_BYTES - at);
    numbers[n + number.kept] = kept | ((at - from) << 16);
    numbers[n + number.flags] =
      isCut |
      (facts.peerIsTrusted ? flag.trusted : 0) |
      (facts.scheme === 'https' ? flag.secure : 0) |
      (e.isReused ? flag.reused : 0) |
      (e.isTunnel ? flag.tunnel : 0) |
      (e.wasQueued ? flag.queued : 0) |
      (e.fallbacks > 0 ? flag.fellBack : 0);
  }

  /**
   * Requests with this id, the latest first: more than one when a trusted peer repeated it. `wallMs`: ms since 1970 at `nowMs`.
   */
  find(id: string, nowMs: number, wallMs: number): RequestRecord[] {
    const { idPrefix } = this;
    const text = Buffer.from(id.slice(0, ID_BYTES_MAX), 'latin1');
    const own = ownNumber(id, idPrefix);
    const isIt = ({ times, numbers, bytes }: Ring, place: number): boolean => {
      const length = numbers[place * RECORD_WORDS + NUMBERS_AT + number.idLength];
      if (length === 0) return times[place * TIMES_WORDS + time.number] === own;
      const start = place * RECORD_BYTES + TEXT_AT;
      return length === id.length && text.compare(bytes, start, start + text.length) === 0;
    };
    return this.collect(RECENT_MAX, isIt, wallMs - nowMs);
  }

  /** The latest requests, the latest first, at most {@link RECENT_MAX}. */
  recent(limit: number, filter: RecordFilter, nowMs: number, wallMs: number): RequestRecord[] {
    const fits = ({ numbers, times }: Ring, place: number): boolean => {
      const n = place * RECORD_WORDS + NUMBERS_AT;
      if (filter === 'fault') return numbers[n + number.faultId] !== 0 || numbers[n + number.status]! >= 500;
      if (filter === 'all') return true;
      const t = place * TIMES_WORDS;
      const until = times[t + time.answered]! || times[t + time.ended]!;
      return numbers[n + number.triesCount]! > 0 && until - times[t + time.started]! > SLOW_MS;
    };
    return this.collect(Math.min(limit, RECENT_MAX), fits, wallMs - nowMs);
  }

  /** Ms since 1970 from which on all that ended is still here, by kind. */
  reach(nowMs: number, wallMs: number): Record<RecordKind, number> {
    return this.rings.reach(nowMs, wallMs);
  }

  private collect(most: number, wants: (ring: Ring, place: number) => boolean, offsetMs: number): RequestRecord[] {
    const read = (ring: Ring, place: number, name: RecordKind) => recordAt(ring, place, name, this.idPrefix, offsetMs);
    return latest(this.rings.collect(most, wants, read), most);
  }
}

function kindOf(e: Finished): number {
  const { faultId, status, trail } = e;
  const isEndpoints = faultId !== 0 && faults[faultId]!.side === 'endpoint';
  if (status >= 500 || isEndpoints || trail.count > 1) return kind.failed;
  if (trail.count > 0 && (e.headMs || e.endedMs) - e.startedMs > SLOW_MS) return kind.failed;
  return faultId === 0 ? kind.served : kind.refused;
}

function writeBytes(bytes: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i++) bytes[at++] = from[i]!;
  return at;
}

function recordAt(ring: Ring, place: number, name: RecordKind, idPrefix: string, offsetMs: number): RequestRecord {
  const { times, numbers } = ring;
  const t = place * TIMES_WORDS;
  const n = place * RECORD_WORDS + NUMBERS_AT;
  const started = times[t + time.started]!;
  const since = (at: number): number => (times[t + at] === 0 ? -1 : rounded(times[t + at]! - started));
  const of = (at: number): number => numbers[n + at]!;
  const flags = of(number.flags);
  const kept = of(number.kept);
  const isOwn = of(number.idLength) === 0;
  const ownId = idPrefix + times[t + time.number]!.toString(36);
  let textAt = place * RECORD_BYTES + TEXT_AT;
  const text = (length: number): string => {
    const from = textAt;
    textAt += length;
    return readText(ring, from, length);
  };
  return {
    kind: name,
    id: isOwn ? ownId : text(kept & 0xff),
    idLength: isOwn ? ownId.length : of(number.idLength),
    client: text((kept >>> 8) & 0xff),
    host: text(of(number.targetKept) & 0xffff),
    path: text(of(number.targetKept) >>> 16),
    detail: text(kept >>> 16),
    isCut: (flags & flag.cut) !== 0,
    startedAt: rounded(started + offsetMs),
    epoch: of(number.epoch),
    listener: of(number.listener),
    route: of(number.route),
    pool: of(number.pool),
    protocol: protocolNames[of(number.protocol)] ?? '',
    method: of(number.method) < 0 ? '' : methodNames[of(number.method)]!,
    clientPort: of(number.clientPort),
    isPeerTrusted: (flags & flag.trusted) !== 0,
    isSecure: (flags & flag.secure) !== 0,
    tls: ring.tls[place]!,
    status: of(number.status),
    upstreamStatus: of(number.upstreamStatus),
    faultId: of(number.faultId),
    key: of(number.key) >>> 0,
    sticky: stickyResultNames[of(number.sticky)] ?? null,
    limit: ring.limits[place]!,
    isReused: (flags & flag.reused) !== 0,
    isTunnel: (flags & flag.tunnel) !== 0,
    wasQueued: (flags & flag.queued) !== 0,
    fellBack: (flags & flag.fellBack) !== 0,
    poolInFlight: of(number.poolInFlight),
    triesCount: of(number.triesCount),
    tries: readTries(ring, n + number.tries, of(number.triesCount)),
    headMs: since(time.began),
    queuedMs: rounded(times[t + time.queued]!),
    waitedMs: rounded(times[t + time.waited]!),
    lostMs: rounded(times[t + time.lost]!),
    sentMs: since(time.sent),
    answeredMs: since(time.answered),
    endedMs: since(time.ended),
    bytesIn: times[t + time.bytesIn]!,
    bytesOut: times[t + time.bytesOut]!,
  };
}
