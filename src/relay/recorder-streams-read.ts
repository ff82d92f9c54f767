/** Reads what recorder-streams.ts wrote. */
import { ClientAddress } from '../base/client-address.ts';
import type { ConnectionRecord } from '../state/channel.ts';
import { type Ring, readText, readTries, rounded } from './recorder-ring.ts';
import {
  CLIENT_FAMILY_SHIFT,
  ENDED_BY_SHIFT,
  flag,
  NUMBERS_AT,
  number,
  PEER_FAMILY_SHIFT,
  RECORD_BYTES,
  RECORD_WORDS,
  TEXT_AT,
  TIMES_WORDS,
  time,
} from './recorder-streams-layout.ts';

const enderNames: readonly ConnectionRecord['endedBy'][] = [null, 'client', 'endpoint'];

/** `offsetMs`: wall clock minus the clock of the records. */
export function streamRecordAt(
  ring: Ring,
  place: number,
  kind: ConnectionRecord['kind'],
  protocol: ConnectionRecord['protocol'],
  idPrefix: string,
  offsetMs: number,
): ConnectionRecord {
  const { times, numbers } = ring;
  const t = place * TIMES_WORDS;
  const n = place * RECORD_WORDS + NUMBERS_AT;
  const started = times[t + time.started]!;
  const since = (at: number): number => (times[t + at] === 0 ? -1 : rounded(times[t + at]! - started));
  const of = (at: number): number => numbers[n + at]!;
  const flags = of(number.flags);
  const kept = of(number.kept);
  const nameLength = kept & 0xffff;
  const textStart = place * RECORD_BYTES + TEXT_AT;
  const isWaiting = (flags & flag.waiting) !== 0;
  const isTold = (flags & flag.told) !== 0;
  return {
    kind,
    protocol,
    id: idPrefix + times[t + time.number]!.toString(36),
    startedAt: rounded(started + offsetMs),
    epoch: of(number.epoch),
    listener: of(number.listener),
    route: of(number.route),
    pool: of(number.pool),
    client: readAddress(numbers, n + number.client, (flags >>> CLIENT_FAMILY_SHIFT) & 15),
    clientPort: of(number.ports) & 0xffff,
    peer: isTold ? readAddress(numbers, n + number.peer, (flags >>> PEER_FAMILY_SHIFT) & 15) : '',
    peerPort: isTold ? of(number.ports) >>> 16 : 0,
    serverName: readText(ring, textStart, nameLength),
    alpn: readText(ring, textStart + nameLength, kept >>> 16),
    tls: ring.tls[place]!,
    faultId: of(number.faultId),
    key: of(number.key) >>> 0,
    waitsSinceMs: isWaiting ? since(time.last) : -1,
    wasQueued: (flags & flag.queued) !== 0,
    fellBack: (flags & flag.fellBack) !== 0,
    poolInFlight: of(number.poolInFlight),
    triesCount: of(number.triesCount),
    tries: readTries(ring, n + number.tries, of(number.triesCount)),
    beganMs: since(time.began),
    queuedMs: rounded(times[t + time.queued]!),
    connectedMs: since(time.connected),
    firstMs: since(time.first),
    lastMs: isWaiting ? -1 : since(time.last),
    endedMs: since(time.ended),
    endedBy: enderNames[(flags >>> ENDED_BY_SHIFT) & 3]!,
    bytesIn: times[t + time.bytesIn]!,
    bytesOut: times[t + time.bytesOut]!,
    datagramsIn: times[t + time.datagramsIn]!,
    datagramsOut: times[t + time.datagramsOut]!,
  };
}

function readAddress(numbers: Int32Array, at: number, family: number): string {
  if (family === 0) return 'unix:';
  const address = new ClientAddress();
  address.family = family;
  address.word0 = numbers[at]!;
  address.word1 = numbers[at + 1]!;
  address.word2 = numbers[at + 2]!;
  address.word3 = numbers[at + 3]!;
  return address.text;
}
