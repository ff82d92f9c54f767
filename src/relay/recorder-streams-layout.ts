/** Where times, numbers and texts stand in the record of a connection or of a client's datagrams. */
import { TRIES_WORDS } from './recorder-ring.ts';

export const SERVER_NAME_BYTES_MAX = 64;
export const ALPN_BYTES_MAX = 16;

/** Places of times and sizes, in words of 8 bytes. Times are monotonic ms, or ms of waiting. */
export const time = Object.freeze({
  started: 0,
  began: 1,
  connected: 2,
  first: 3,
  /** Of a connection: when it joined the queue that it stands in. */
  last: 4,
  ended: 5,
  queued: 6,
  bytesIn: 7,
  bytesOut: 8,
  datagramsIn: 9,
  datagramsOut: 10,
  /** From which its id was made. */
  number: 11,
});
/** Where a record's numbers begin, in words of 4 bytes. */
export const NUMBERS_AT = 24;
/** Places of numbers, in words of 4 bytes from NUMBERS_AT. */
export const number = Object.freeze({
  epoch: 0,
  listener: 1,
  route: 2,
  pool: 3,
  faultId: 4,
  /** Bits of `flag`, then who ended first, then the families of both addresses. */
  flags: 5,
  key: 6,
  poolInFlight: 7,
  triesCount: 8,
  /** Lengths of what is kept: server name; ALPN (high half). */
  kept: 9,
  /** Four words each. */
  client: 10,
  peer: 14,
  /** The client's; the peer's (high half). */
  ports: 18,
  tries: 20,
});
export const flag = Object.freeze({ queued: 1, fellBack: 2, told: 4, waiting: 8 });
export const ENDED_BY_SHIFT = 4;
export const CLIENT_FAMILY_SHIFT = 8;
export const PEER_FAMILY_SHIFT = 12;

export const TEXT_AT = (NUMBERS_AT + number.tries + TRIES_WORDS) * 4;
export const RECORD_BYTES = TEXT_AT + SERVER_NAME_BYTES_MAX + ALPN_BYTES_MAX;
export const RECORD_WORDS = RECORD_BYTES / 4;
export const TIMES_WORDS = RECORD_BYTES / 8;
