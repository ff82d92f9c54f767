/**
 * datagram-control: control messages of datagrams (cmsg(3)): the size of the datagrams in a run, and the address of this machine they
 * were sent to or shall leave from. Words are those of the memory the message lies in.
 *
 *     cmsghdr   len u64 | level i32 | type i32 | data, padded to 8 bytes
 */
import { FAMILY_V4, NAME_LOCAL } from '../base/datagram-name.ts';
import {
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_PKTINFO,
  in_pktinfo_ipi_addr,
  in_pktinfo_ipi_spec_dst,
  in6_pktinfo_ipi6_addr,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from '../sys/constants.generated.ts';

const HEADER_WORDS = 4;
/** CMSG_SPACE of in_pktinfo (12 bytes), in6_pktinfo (20), and of an int or a short. */
const PKTINFO_BYTES = 32;
const PKTINFO6_BYTES = 40;
export const SEGMENT_BYTES = 24;
/** Room for both. */
export const CONTROL_BYTES: number = PKTINFO6_BYTES + SEGMENT_BYTES;

/** Size of the datagrams of a run, 0 when it is a single one. */
export function readSegment(words: Int32Array, at: number, bytes: number): number {
  const end = at + (bytes >> 2);
  while (at + HEADER_WORDS < end) {
    const length = words[at]!;
    if (length < HEADER_WORDS << 2) return 0;
    if (words[at + 2] === SOL_UDP && words[at + 3] === UDP_GRO) return words[at + HEADER_WORDS]!;
    at += ((length + 7) >> 3) << 1;
  }
  return 0;
}

/** Writes the local address of a datagram into the name at `name`; zeros when none was told. Both may lie in the same words. */
export function readLocal(words: Int32Array, at: number, bytes: number, names: Int32Array, name: number): void {
  const end = at + (bytes >> 2);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  while (at + HEADER_WORDS < end) {
    const length = words[at]!;
    if (length < HEADER_WORDS << 2) break;
    const level = words[at + 2];
    const type = words[at + 3];
    if (level === IPPROTO_IP && type === IP_PKTINFO) a = words[at + HEADER_WORDS + (in_pktinfo_ipi_spec_dst >> 2)]!;
    else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
      const first = at + HEADER_WORDS + (in6_pktinfo_ipi6_addr >> 2);
      a = words[first]!;
      b = words[first + 1]!;
      c = words[first + 2]!;
      d = words[first + 3]!;
    }
    at += ((length + 7) >> 3) << 1;
  }
  const first = name + NAME_LOCAL;
  names[first] = a;
  names[first + 1] = b;
  names[first + 2] = c;
  names[first + 3] = d;
  names[first + 4] = 0;
}

/** Writes what a datagram to this name needs at words[at...]; returns the bytes, 0 for none. */
export function writeControl(words: Int32Array, at: number, segment: number, names: Int32Array, name: number): number {
  let bytes = 0;
  const first = name + NAME_LOCAL;
  if ((names[first]! | names[first + 1]! | names[first + 2]! | names[first + 3]!) !== 0) {
    if ((names[name]! & 0xffff) === FAMILY_V4) {
      header(words, at, (HEADER_WORDS << 2) + 12, IPPROTO_IP, IP_PKTINFO);
      words[at + HEADER_WORDS] = 0;
      words[at + HEADER_WORDS + (in_pktinfo_ipi_spec_dst >> 2)] = names[first]!;
      words[at + HEADER_WORDS + (in_pktinfo_ipi_addr >> 2)] = 0;
      bytes = PKTINFO_BYTES;
    } else {
      header(words, at, (HEADER_WORDS << 2) + 20, IPPROTO_IPV6, IPV6_PKTINFO);
      for (let i = 0; i < 4; i++) words[at + HEADER_WORDS + i] = names[first + i]!;
      words[at + HEADER_WORDS + 4] = 0;
      bytes = PKTINFO6_BYTES;
    }
  }
  return bytes + writeSegment(words, at + (bytes >> 2), segment);
}

/** The part of it that is about runs. */
export function writeSegment(words: Int32Array, at: number, segment: number): number {
  if (segment === 0) return 0;
  header(words, at, (HEADER_WORDS << 2) + 2, SOL_UDP, UDP_SEGMENT);
  words[at + HEADER_WORDS] = segment;
  words[at + HEADER_WORDS + 1] = 0;
  return SEGMENT_BYTES;
}

function header(words: Int32Array, at: number, length: number, level: number, type: number): void {
  words[at] = length;
  words[at + 1] = 0;
  words[at + 2] = level;
  words[at + 3] = type;
}
