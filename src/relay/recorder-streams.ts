/**
 * StreamRecorder: the flight recorder's memory of connections that were carried as they are, and of the datagrams of one client; one instance each, so that
 * neither pushes the other out. Kinds and sizes of the rings are those of requests.
 *
 *     served    ended in order                                                                                        4096
 *     refused   reset by the client, ended by a timeout, without a route; datagrams: forgotten to make room            512
 *     failed    no endpoint took it, or not at once, or one broke it off                                              1024
 *
 * A record is 352 bytes: 96 of times and sizes, 176 of numbers, 80 of text (name and protocol of TLS). 1.9 MiB each.
 *
 * Rules
 * 1. Adding allocates nothing and reads no clock.
 * 2. Nothing of what was carried is kept.
 */
import type { ClientAddress } from '../base/client-address.ts';
import { fault, faults } from '../base/faults.ts';
import type { StreamClient } from '../base/stream-client.ts';
import type { ConnectionRecord, RecordKind } from '../state/channel.ts';
import type { DatagramSession } from './datagram-session.ts';
import {
  kind,
  latest,
  ownNumber,
  RECENT_MAX,
  Ring,
  Rings,
  SLOW_MS,
  writeLastTry,
  writeText,
  writeTries,
} from './recorder-ring.ts';
import {
  ALPN_BYTES_MAX,
  CLIENT_FAMILY_SHIFT,
  ENDED_BY_SHIFT,
  flag,
  NUMBERS_AT,
  number,
  PEER_FAMILY_SHIFT,
  RECORD_BYTES,
  RECORD_WORDS,
  SERVER_NAME_BYTES_MAX,
  TEXT_AT,
  TIMES_WORDS,
  time,
} from './recorder-streams-layout.ts';
import { streamRecordAt } from './recorder-streams-read.ts';
import type { Runtime } from './runtime.ts';
import { ender, StreamTrail, TRIES_KEPT } from './trail.ts';
import type { Tunnel } from './tunnel.ts';

/** What is read of a connection. */
export type ConnectionFacts = Pick<
  Tunnel,
  | 'number'
  | 'trail'
  | 'client'
  | 'listenerId'
  | 'runtime'
  | 'faultId'
  | 'beganMs'
  | 'connectedMs'
  | 'firstByteMs'
  | 'endedMs'
  | 'endedBy'
  | 'key'
  | 'fallbacks'
  | 'queuedMs'
  | 'wasQueued'
  | 'isWaiting'
  | 'waitSinceMs'
  | 'bytesIn'
  | 'bytesOut'
> &
  Pick<DatagramSession, 'route' | 'pool'>;

/** What is read of the datagrams of a client. */
export type DatagramFacts = Pick<
  DatagramSession,
  | 'number'
  | 'trail'
  | 'client'
  | 'listenerId'
  | 'route'
  | 'runtime'
  | 'pool'
  | 'faultId'
  | 'startedMs'
  | 'firstMs'
  | 'lastMs'
  | 'endedMs'
  | 'key'
  | 'fallbacks'
  | 'bytesIn'
  | 'bytesOut'
  | 'questions'
  | 'answers'
>;

export class StreamRecorder {
  private readonly protocol: ConnectionRecord['protocol'];
  private readonly rings: Rings;
  private readonly idPrefix: string;
  /** Where what is not over is written, to be read at once. */
  private readonly scratch = new Ring(1, RECORD_BYTES);

  /** As of {@link Recorder}. */
  constructor(protocol: ConnectionRecord['protocol'], idPrefix: string, nowMs: number) {
    this.protocol = protocol;
    this.rings = new Rings(RECORD_BYTES, time.ended, nowMs);
    this.idPrefix = idPrefix;
  }

  /** Notes a connection that is over. */
  addConnection(tunnel: ConnectionFacts): void {
    this.writeConnection(this.rings.all[kindOfConnection(tunnel)]!, tunnel, tunnel.bytesIn, tunnel.bytesOut);
  }

  /** Notes a connection that went nowhere: no route matches. */
  addUnrouted(number: number, client: StreamClient, listenerId: number, runtime: Runtime, nowMs: number): void {
    this.addConnection(unrouted(number, client, listenerId, runtime, nowMs));
  }

  /** Notes the datagrams of a client that is about to be forgotten. */
  addDatagrams(session: DatagramFacts): void {
    this.writeDatagrams(this.rings.all[kindOfDatagrams(session)]!, session);
  }

  /** With this id, over or not. `open`: those that are not over. */
  find(id: string, open: readonly (ConnectionFacts | DatagramFacts)[], nowMs: number, wallMs: number): ConnectionRecord[] {
    const own = ownNumber(id, this.idPrefix);
    const living = open.find((one) => one.number === own);
    if (living !== undefined) return [this.openRecord(living, nowMs, wallMs)];
    return this.collect(1, ({ times }, place) => times[place * TIMES_WORDS + time.number] === own, wallMs - nowMs);
  }

  /** The latest that are over, the latest first, at most {@link RECENT_MAX}. */
  recent(limit: number, isFault: boolean, nowMs: number, wallMs: number): ConnectionRecord[] {
    const fits = ({ numbers }: Ring, place: number): boolean =>
      !isFault || numbers[place * RECORD_WORDS + NUMBERS_AT + number.faultId] !== 0;
    return this.collect(Math.min(limit, RECENT_MAX), fits, wallMs - nowMs);
  }

  /** Of those that are not over, in the order of their beginning, the latest, the latest first. */
  open(limit: number, open: readonly (ConnectionFacts | DatagramFacts)[], nowMs: number, wallMs: number): ConnectionRecord[] {
    return open
      .toSorted((a, b) => b.number - a.number)
      .slice(0, Math.min(limit, RECENT_MAX))
      .map((one) => this.openRecord(one, nowMs, wallMs));
  }

  reach(nowMs: number, wallMs: number): Record<RecordKind, number> {
    return this.rings.reach(nowMs, wallMs);
  }

  private collect(most: number, wants: (ring: Ring, place: number) => boolean, offsetMs: number): ConnectionRecord[] {
    const read = (ring: Ring, place: number, name: RecordKind) => this.read(ring, place, name, offsetMs);
    return latest(this.rings.collect(most, wants, read), most);
  }

  private read(ring: Ring, place: number, name: ConnectionRecord['kind'], offsetMs: number): ConnectionRecord {
    return streamRecordAt(ring, place, name, this.protocol, this.idPrefix, offsetMs);
  }

  private openRecord(one: ConnectionFacts | DatagramFacts, nowMs: number, wallMs: number): ConnectionRecord {
    const { scratch } = this;
    if ('questions' in one) this.writeDatagrams(scratch, one);
    else {
      this.writeConnection(scratch, one, one.client.wire.received, one.client.wire.sent);
      if (one.isWaiting) {
        scratch.numbers[NUMBERS_AT + number.flags]! |= flag.waiting;
        scratch.times[time.last] = one.waitSinceMs;
        scratch.times[time.queued]! += nowMs - one.waitSinceMs;
      }
    }
    return this.read(scratch, 0, 'open', wallMs - nowMs);
  }

  private writeConnection(ring: Ring, tunnel: ConnectionFacts, bytesIn: number, bytesOut: number): void {
    const { client } = tunnel;
    const { times, numbers, bytes } = ring;
    const place = ring.next();
    const t = place * TIMES_WORDS;
    times[t + time.began] = tunnel.beganMs;
    times[t + time.connected] = tunnel.connectedMs;
    times[t + time.first] = tunnel.firstByteMs;
    times[t + time.last] = 0;
    times[t + time.queued] = tunnel.queuedMs;
    times[t + time.datagramsIn] = times[t + time.datagramsOut] = 0;
    writeCommon(ring, place, tunnel, client.startedMs, bytesIn, bytesOut);
    ring.tls[place] = client.tls;

    const n = place * RECORD_WORDS + NUMBERS_AT;
    let flags = (tunnel.wasQueued ? flag.queued : 0) | (tunnel.endedBy << ENDED_BY_SHIFT);
    writeAddress(numbers, n + number.client, client.address);
    flags |= client.address.family << CLIENT_FAMILY_SHIFT;
    let { port } = client.address;
    if (client.peer !== client.address && !client.peer.equals(client.address)) {
      writeAddress(numbers, n + number.peer, client.peer);
      flags |= flag.told | (client.peer.family << PEER_FAMILY_SHIFT);
      port |= client.peer.port << 16;
    }
    numbers[n + number.ports] = port;
    numbers[n + number.flags]! |= flags;
    const textStart = place * RECORD_BYTES + TEXT_AT;
    const nameEnd = writeText(bytes, textStart, client.serverName, SERVER_NAME_BYTES_MAX);
    const textEnd = writeText(bytes, nameEnd, client.alpn, ALPN_BYTES_MAX);
    numbers[n + number.kept] = (nameEnd - textStart) | ((textEnd - nameEnd) << 16);
  }

  private writeDatagrams(ring: Ring, session: DatagramFacts): void {
    const { client } = session;
    const { times, numbers } = ring;
    const place = ring.next();
    const t = place * TIMES_WORDS;
    times[t + time.began] = session.startedMs;
    times[t + time.connected] = 0;
    times[t + time.first] = session.firstMs;
    times[t + time.last] = session.lastMs;
    times[t + time.queued] = 0;
    times[t + time.datagramsIn] = session.questions;
    times[t + time.datagramsOut] = session.answers;
    writeCommon(ring, place, session, session.startedMs, session.bytesIn, session.bytesOut);

    const n = place * RECORD_WORDS + NUMBERS_AT;
    writeAddress(numbers, n + number.client, client);
    numbers[n + number.ports] = client.port;
    numbers[n + number.flags]! |= client.family << CLIENT_FAMILY_SHIFT;
    numbers[n + number.kept] = 0;
  }
}

function unrouted(number: number, client: StreamClient, listenerId: number, runtime: Runtime, nowMs: number): ConnectionFacts {
  return {
    number,
    client,
    listenerId,
    runtime,
    trail: noTries,
    faultId: fault.destinationNotFound,
    route: null,
    pool: null,
    beganMs: nowMs,
    endedMs: nowMs,
    connectedMs: 0,
    firstByteMs: 0,
    endedBy: ender.nobody,
    key: 0,
    fallbacks: 0,
    queuedMs: 0,
    wasQueued: false,
    isWaiting: false,
    waitSinceMs: 0,
    bytesIn: client.wire.received,
    bytesOut: 0,
  };
}
const noTries = new StreamTrail();

/** `tookMs`: until an endpoint took it, or answered first. */
function kindOf(faultId: number, { count }: StreamTrail, tookMs: number): number {
  if (faults[faultId]!.status >= 500 || count > 1 || tookMs > SLOW_MS) return kind.failed;
  return faultId === 0 ? kind.served : kind.refused;
}

function kindOfConnection({ faultId, trail, beganMs, connectedMs, endedMs }: ConnectionFacts): number {
  return kindOf(faultId, trail, trail.count === 0 ? 0 : (connectedMs || endedMs) - beganMs);
}

function kindOfDatagrams({ faultId, trail, startedMs, firstMs }: DatagramFacts): number {
  // It was well; others needed the room.
  if (faultId === fault.overload) return kind.refused;
  return kindOf(faultId, trail, firstMs > 0 ? firstMs - startedMs : faultId === fault.streamIdle ? Infinity : 0);
}

/** All but what only one of the two has. */
function writeCommon(
  ring: Ring,
  place: number,
  one: ConnectionFacts | DatagramFacts,
  startedMs: number,
  bytesIn: number,
  bytesOut: number,
): void {
  const { times, numbers } = ring;
  const { trail, route, pool } = one;
  const t = place * TIMES_WORDS;
  times[t + time.started] = startedMs;
  times[t + time.ended] = one.endedMs;
  times[t + time.bytesIn] = bytesIn;
  times[t + time.bytesOut] = bytesOut;
  times[t + time.number] = one.number;
  const n = place * RECORD_WORDS + NUMBERS_AT;
  numbers[n + number.epoch] = one.runtime!.plan.epoch;
  numbers[n + number.listener] = one.listenerId;
  numbers[n + number.route] = route === null ? -1 : route.plan.id;
  numbers[n + number.pool] = pool === null ? -1 : pool.plan.id;
  numbers[n + number.faultId] = one.faultId;
  numbers[n + number.flags] = one.fallbacks > 0 ? flag.fellBack : 0;
  numbers[n + number.key] = one.key;
  numbers[n + number.poolInFlight] = trail.poolInFlight;
  numbers[n + number.triesCount] = trail.count;
  if (trail.count === 0) return;
  const { earlier } = trail;
  let at = n + number.tries;
  if (trail.count > 1) at = writeTries(ring, at, earlier!, Math.min(trail.count, TRIES_KEPT) - 1, startedMs);
  writeLastTry(ring, at, trail, startedMs);
}

function writeAddress(numbers: Int32Array, at: number, { word0, word1, word2, word3 }: ClientAddress): void {
  numbers[at] = word0;
  numbers[at + 1] = word1;
  numbers[at + 2] = word2;
  numbers[at + 3] = word3;
}
