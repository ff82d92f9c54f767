/**
 * datagram-name: who sent a datagram, as it lies in memory, so that it can be compared, hashed and copied without being read.
 *
 *     word 0      family (as the kernel numbers it), and the port in network order in the upper half
 *     word 1..6   the rest of sockaddr_in (address, zeros) or sockaddr_in6 (flow, address, scope); what the family has no use for is 0
 *     word 7..10  the address of this machine that the datagram was sent to, in network order, where the socket is bound to all addresses;
 *                 else 0. Word 7 alone for IPv4. Answers leave from it.
 *     word 11     0; free for who keeps names
 *
 * Words are little-endian, like every machine that runs this (state/layout.ts checks).
 */
import type { Blocks } from './blocks.ts';
import type { ClientAddress } from './client-address.ts';

export const NAME_WORDS = 12;
/** First word of the local address. */
export const NAME_LOCAL = 7;
/** The free word. */
export const NAME_SPARE = 11;
/** Word 1 of an IPv4 name; words 2 to 5 of an IPv6 one. */
const ADDRESS_V4 = 1;
const ADDRESS_V6 = 2;
/** AF_INET and AF_INET6 of Linux. */
export const FAMILY_V4 = 2;
export const FAMILY_V6 = 10;

/** The arena as words: where `from` of onDatagram points into. */
export function wordsOf({ bytes }: Blocks): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

export function portOf(names: Int32Array, at: number): number {
  const word = names[at]!;
  return ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** Reads the sender's address. */
export function readName(names: Int32Array, at: number, into: ClientAddress): void {
  into.clear();
  into.port = portOf(names, at);
  if ((names[at]! & 0xffff) === FAMILY_V4) {
    into.family = 4;
    into.word3 = swap(names[at + ADDRESS_V4]!);
    return;
  }
  const first = at + ADDRESS_V6;
  into.word0 = swap(names[first]!);
  into.word1 = swap(names[first + 1]!);
  into.word2 = swap(names[first + 2]!);
  into.word3 = swap(names[first + 3]!);
  // As ClientAddress does everywhere: IPv4 in IPv6 is IPv4.
  const isMapped = into.word0 === 0 && into.word1 === 0 && into.word2 === 0xffff;
  into.family = isMapped ? 4 : 6;
  if (isMapped) into.word2 = 0;
}

/** Bytes in the other order. */
function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
