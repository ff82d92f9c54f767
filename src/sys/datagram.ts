/**
 * datagram: the calls of UDP sockets, many datagrams at a time. Everything returns -errno on failure.
 *
 * Addresses are Numbers below 4 GiB, unchecked, like those of socket.ts.
 */
import { bindSource } from './bind-source.ts';
import {
  AF_UNSPEC,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVPKTINFO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_UDP,
  UDP_GRO,
} from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { close } from './libc.ts';
import { low, lowWords } from './memory.ts';
import { localAddress, setsockopt, socket } from './socket.ts';

const recvmmsgRaw = fast<(fd: number, messages: number, count: number, flags: number, timeout: number) => number>(
  'recvmmsg',
  ['int32', 'uint32', 'uint32', 'int32', 'uint32'],
  'int32',
);
const sendmmsgRaw = fast<(fd: number, messages: number, count: number, flags: number) => number>(
  'sendmmsg',
  ['int32', 'uint32', 'uint32', 'int32'],
  'int32',
);
const connectRaw = fast<(fd: number, at: number, length: number) => number>('connect', ['int32', 'uint32', 'uint32'], 'int32');

/** Bytes of the sockaddr that dissolves a connection: the family is all that counts. */
export const UNSPEC_BYTES = 16;

/** A close-on-exec datagram socket that may block. */
export function datagramSocket(family: number): number {
  return socket(family, SOCK_DGRAM | SOCK_CLOEXEC);
}

/** The same, bound to a local address without a port, which connecting chooses. `isTransparent` as in setTransparent(). */
export function datagramSocketFrom(family: number, source: string, isTransparent: boolean): number {
  const fd = datagramSocket(family);
  if (fd < 0) return fd;
  const bound = bindSource(fd, source, isTransparent);
  if (bound === 0) return fd;
  close(fd);
  return bound;
}

/** How many of `count` struct mmsghdr at `messages` were filled (recvmmsg(2)). */
export function recvmmsg(fd: number, messages: number, count: number, flags: number): number {
  const received = recvmmsgRaw(fd, messages, count, flags, 0);
  return received < 0 ? -errno[0]! : received;
}

/** How many of `count` messages were sent; the error of one that is not the first is told by the next call (sendmmsg(2)). */
export function sendmmsg(fd: number, messages: number, count: number, flags: number): number {
  const sent = sendmmsgRaw(fd, messages, count, flags);
  return sent < 0 ? -errno[0]! : sent;
}

/** Connects to the sockaddr at `at`. A datagram socket is connected at once. */
export function connectAt(fd: number, at: number, length: number): number {
  return connectRaw(fd, at, length) < 0 ? -errno[0]! : 0;
}

/** Dissolves the connection; a port that was not bound by name is given up with it (connect(2), AF_UNSPEC). */
export function disconnect(fd: number): number {
  lowWords.fill(0, 0, UNSPEC_BYTES >> 2);
  lowWords[0] = AF_UNSPEC;
  return connectAt(fd, low.address, UNSPEC_BYTES);
}

/** Lets runs of datagrams of one sender arrive whole. False where the kernel cannot (before Linux 5.0). */
export function receiveRuns(fd: number): boolean {
  return setsockopt(fd, SOL_UDP, UDP_GRO, 1) === 0;
}

/** When the socket is bound to all addresses, lets it tell to which of them each datagram was sent. */
export function tellDestination(fd: number): void {
  const address = localAddress(fd);
  if (address === null || typeof address === 'number' || address.kind === 'unix') return;
  if (address.host === '0.0.0.0') setsockopt(fd, IPPROTO_IP, IP_PKTINFO, 1);
  else if (address.host === '::') setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}
