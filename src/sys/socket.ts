/**
 * socket: the socket calls under their own names. Everything returns -errno on failure.
 *
 * Buffers are addresses below 4 GiB (memory.ts) as Numbers. recv, send, sendmsg, accept4 and getpeername are the unwrapped functions:
 * arguments must be integers of the right range.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Address } from '../base/wire.ts';
import {
  cmsghdr_BYTES,
  cmsghdr_cmsg_len,
  cmsghdr_cmsg_level,
  cmsghdr_cmsg_type,
  EPROTO,
  IP_TRANSPARENT,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TRANSPARENT,
  iovec_BYTES,
  iovec_iov_len,
  linger_BYTES,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_NOSIGNAL,
  msghdr_BYTES,
  msghdr_msg_control,
  msghdr_msg_controllen,
  msghdr_msg_flags,
  msghdr_msg_iov,
  msghdr_msg_iovlen,
  SCM_RIGHTS,
  SHUT_WR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { LOW_BYTES, low, lowView, lowWords } from './memory.ts';
import { decodeAddress, encodeAddress, familyOf, readAddress, SOCKADDR_BYTES_MAX, textOf } from './socket-address.ts';

const socketRaw = fast<(family: number, type: number, protocol: number) => number>(
  'socket',
  ['int32', 'int32', 'int32'],
  'int32',
);
const bindRaw = fast<(fd: number, at: number, length: number) => number>('bind', ['int32', 'uint32', 'uint32'], 'int32');
const connectRaw = fast<(fd: number, at: number, length: number) => number>('connect', ['int32', 'uint32', 'uint32'], 'int32');
const listenRaw = fast<(fd: number, backlog: number) => number>('listen', ['int32', 'int32'], 'int32');
const shutdownRaw = fast<(fd: number, how: number) => number>('shutdown', ['int32', 'int32'], 'int32');
const setsockoptRaw = fast<(fd: number, level: number, name: number, at: number, length: number) => number>(
  'setsockopt',
  ['int32', 'int32', 'int32', 'uint32', 'uint32'],
  'int32',
);
const getsockoptRaw = fast<(fd: number, level: number, name: number, at: number, length: number) => number>(
  'getsockopt',
  ['int32', 'int32', 'int32', 'uint32', 'uint32'],
  'int32',
);
const acceptRaw = fast<(fd: number, at: number, length: number, flags: number) => number>(
  'accept4',
  ['int32', 'uint32', 'uint32', 'int32'],
  'int32',
);
const recvRaw = fast<(fd: number, at: number, length: number, flags: number) => number>(
  'recv',
  ['int32', 'uint32', 'uint32', 'int32'],
  'int32',
);
const sendRaw = fast<(fd: number, at: number, length: number, flags: number) => number>(
  'send',
  ['int32', 'uint32', 'uint32', 'int32'],
  'int32',
);
const sendmsgRaw = fast<(fd: number, message: number, flags: number) => number>('sendmsg', ['int32', 'uint32', 'int32'], 'int32');
const recvmsgRaw = fast<(fd: number, message: number, flags: number) => number>('recvmsg', ['int32', 'uint32', 'int32'], 'int32');
const getpeernameRaw = fast<(fd: number, at: number, length: number) => number>(
  'getpeername',
  ['int32', 'uint32', 'uint32'],
  'int32',
);
const getsocknameRaw = fast<(fd: number, at: number, length: number) => number>(
  'getsockname',
  ['int32', 'uint32', 'uint32'],
  'int32',
);
const socketpairRaw = fast<(family: number, type: number, protocol: number, at: number) => number>(
  'socketpair',
  ['int32', 'int32', 'int32', 'uint32'],
  'int32',
);

export function socket(family: number, type: number, protocol = 0): number {
  const fd = socketRaw(family, type, protocol);
  return fd < 0 ? -errno[0]! : fd;
}

/** A non-blocking, close-on-exec stream socket of the family that `address` needs. */
export function streamSocket(address: Address): number {
  return socket(familyOf(address), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/** Throws AddressError when the address cannot be written as a sockaddr. */
export function bind(fd: number, address: Address): number {
  return bindRaw(fd, low.address, encodeAddress(address, low.bytes, 0)) < 0 ? -errno[0]! : 0;
}

/** -EINPROGRESS on a non-blocking socket. Throws AddressError like {@link bind}. */
export function connect(fd: number, address: Address): number {
  return connectRaw(fd, low.address, encodeAddress(address, low.bytes, 0)) < 0 ? -errno[0]! : 0;
}

/** The sockaddr of an address, for {@link connectTo}. Throws AddressError. */
export function sockaddrOf(address: Address): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_BYTES_MAX);
  return bytes.slice(0, encodeAddress(address, bytes, 0));
}

/** Like {@link connect}, for addresses that are connected to again and again. */
export function connectTo(fd: number, sockaddr: Uint8Array): number {
  low.bytes.set(sockaddr, 0);
  return connectRaw(fd, low.address, sockaddr.length) < 0 ? -errno[0]! : 0;
}

export function listen(fd: number, backlog: number): number {
  return listenRaw(fd, backlog) < 0 ? -errno[0]! : 0;
}

/** SHUT_RD, SHUT_WR, SHUT_RDWR. */
export function shutdown(fd: number, how: number = SHUT_WR): number {
  return shutdownRaw(fd, how) < 0 ? -errno[0]! : 0;
}

/** Sets an option whose value is an int. */
export function setsockopt(fd: number, level: number, name: number, value: number): number {
  lowWords[0] = value;
  return setsockoptRaw(fd, level, name, low.address, 4) < 0 ? -errno[0]! : 0;
}

/** Value of an option that is an int, or -errno (no option read here is negative). */
export function getsockopt(fd: number, level: number, name: number): number {
  lowWords[0] = 0;
  lowWords[1] = 4;
  return getsockoptRaw(fd, level, name, low.address, low.address + 4) < 0 ? -errno[0]! : lowWords[0]!;
}

/** SO_LINGER on with 0 seconds: the next close sends a reset and discards what was not sent. */
export function setReset(fd: number): number {
  lowWords[0] = 1;
  lowWords[1] = 0;
  return setsockoptRaw(fd, SOL_SOCKET, SO_LINGER, low.address, linger_BYTES) < 0 ? -errno[0]! : 0;
}

/** Lets the socket be bound to an address that is not this machine's. 0 or -errno (EPERM without CAP_NET_ADMIN). `host` tells the family. */
export function setTransparent(fd: number, host: string): number {
  return host.includes(':') ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1) : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

/** The peer's address is not asked for: {@link readPeer} when somebody wants it. */
export function accept4(fd: number, flags: number = SOCK_NONBLOCK | SOCK_CLOEXEC): number {
  const accepted = acceptRaw(fd, 0, 0, flags);
  return accepted < 0 ? -errno[0]! : accepted;
}

export function recv(fd: number, at: number, length: number, flags: number): number {
  const count = recvRaw(fd, at, length, flags);
  return count < 0 ? -errno[0]! : count;
}

export function send(fd: number, at: number, length: number, flags: number): number {
  const count = sendRaw(fd, at, length, flags);
  return count < 0 ? -errno[0]! : count;
}

/** `message` is the address of a msghdr below 4 GiB. */
export function sendmsg(fd: number, message: number, flags: number): number {
  const count = sendmsgRaw(fd, message, flags);
  return count < 0 ? -errno[0]! : count;
}

export function recvmsg(fd: number, message: number, flags: number): number {
  const count = recvmsgRaw(fd, message, flags);
  return count < 0 ? -errno[0]! : count;
}

/** Where an address is put, behind its length. */
const NAME_AT = 8;
const OWN_NAME_AT = 256;

/** Has this end's or the other's address written to NAME_AT: its length, or -errno. */
function askName(call: typeof getpeernameRaw, fd: number): number {
  lowWords[0] = SOCKADDR_BYTES_MAX;
  if (call(fd, low.address + NAME_AT, low.address) < 0) return -errno[0]!;
  return Math.min(lowWords[0]!, SOCKADDR_BYTES_MAX);
}

/** Address this socket is bound to; null when it has no name, else -errno. */
export function localAddress(fd: number): Address | null | number {
  const length = askName(getsocknameRaw, fd);
  return length < 0 ? length : decodeAddress(low.bytes, NAME_AT, length);
}

/** Has this socket a port of its own by now? */
export function hasPort(fd: number): boolean {
  const address = localAddress(fd);
  return address !== null && typeof address === 'object' && address.kind === 'ip' && address.port !== 0;
}

/** Address of the other end; empty when not connected. */
export function readPeer(fd: number, into: ClientAddress): void {
  const length = askName(getpeernameRaw, fd);
  if (length < 0) into.clear();
  else readAddress(low.bytes, NAME_AT, length, into);
}

/** Is this socket connected to itself? */
export function isItsOwnPeer(fd: number): boolean {
  const length = askName(getsocknameRaw, fd);
  if (length < 0) return false;
  for (let i = 0; i < length; i++) low.bytes[OWN_NAME_AT + i] = low.bytes[NAME_AT + i]!;
  if (askName(getpeernameRaw, fd) !== length) return false;
  for (let i = 0; i < length; i++) if (low.bytes[OWN_NAME_AT + i] !== low.bytes[NAME_AT + i]) return false;
  return true;
}

/** Text of this end: "192.0.2.1:4711", "[::1]:80", "unix:/path", "unix:" without a name, "" when not connected. */
export function getsockname(fd: number): string {
  const address = localAddress(fd);
  return typeof address === 'number' ? '' : textOf(address);
}

/** Two connected sockets, or -errno. */
export function socketpair(family: number, type: number): [number, number] | number {
  return socketpairRaw(family, type, 0, low.address) < 0 ? -errno[0]! : [lowWords[0]!, lowWords[1]!];
}

// Layout of low for descriptor passing: msghdr, iovec, control message, then the data.
const IOVEC_AT = msghdr_BYTES;
const CONTROL_AT = IOVEC_AT + iovec_BYTES;
/** SCM_MAX_FD of the kernel: descriptors in one message. */
export const DESCRIPTORS_MAX = 253;
const DATA_AT = CONTROL_AT + cmsghdr_BYTES + DESCRIPTORS_MAX * 4 + 4;
/** Bytes that can go along with descriptors. */
export const DESCRIPTOR_BYTES_MAX: number = LOW_BYTES - DATA_AT;

function writeMessage(dataLength: number, controlLength: number): void {
  low.bytes.fill(0, 0, CONTROL_AT);
  lowView.setBigUint64(msghdr_msg_iov, BigInt(low.address + IOVEC_AT), true);
  lowView.setBigUint64(msghdr_msg_iovlen, 1n, true);
  lowView.setBigUint64(msghdr_msg_control, controlLength === 0 ? 0n : BigInt(low.address + CONTROL_AT), true);
  lowView.setBigUint64(msghdr_msg_controllen, BigInt(controlLength), true);
  lowView.setBigUint64(IOVEC_AT, BigInt(low.address + DATA_AT), true);
  lowView.setBigUint64(IOVEC_AT + iovec_iov_len, BigInt(dataLength), true);
}

/** CMSG_SPACE: control messages are padded to 8 bytes. */
const controlSpace = (count: number): number => (cmsghdr_BYTES + count * 4 + 7) & ~7;

/**
 * Sends bytes (at least one) with descriptors over a unix socket (SCM_RIGHTS, unix(7)). Returns bytes sent, or -errno.
 * The descriptors stay open here. Not for a loop: it copies.
 */
export function sendDescriptors(fd: number, bytes: Uint8Array, fds: readonly number[], flags = 0): number {
  if (bytes.length === 0 || bytes.length > DESCRIPTOR_BYTES_MAX) throw new RangeError('descriptors travel with 1 byte to 62 KiB');
  if (fds.length > DESCRIPTORS_MAX) throw new RangeError(`at most ${DESCRIPTORS_MAX} descriptors in a message`);
  writeMessage(bytes.length, fds.length === 0 ? 0 : controlSpace(fds.length));
  lowView.setBigUint64(CONTROL_AT + cmsghdr_cmsg_len, BigInt(cmsghdr_BYTES + fds.length * 4), true);
  lowView.setInt32(CONTROL_AT + cmsghdr_cmsg_level, SOL_SOCKET, true);
  lowView.setInt32(CONTROL_AT + cmsghdr_cmsg_type, SCM_RIGHTS, true);
  fds.forEach((each, i) => {
    lowView.setInt32(CONTROL_AT + cmsghdr_BYTES + i * 4, each, true);
  });
  low.bytes.set(bytes, DATA_AT);
  return sendmsg(fd, low.address, flags | MSG_NOSIGNAL);
}

/**
 * Receives bytes into `into` with the descriptors that came along, appended to `fds` (close-on-exec). Returns bytes received, 0 at
 * the end, or -errno. -EPROTO when the kernel had to drop descriptors (the process is at its limit); those received are in `fds`.
 */
export function recvDescriptors(fd: number, into: Uint8Array, fds: number[], flags = 0): number {
  const room = Math.min(into.length, DESCRIPTOR_BYTES_MAX);
  writeMessage(room, controlSpace(DESCRIPTORS_MAX));
  low.bytes.fill(0, CONTROL_AT, CONTROL_AT + cmsghdr_BYTES);
  const count = recvmsg(fd, low.address, flags | MSG_CMSG_CLOEXEC);
  if (count < 0) return count;
  into.set(low.bytes.subarray(DATA_AT, DATA_AT + count));
  const controlLength = Number(lowView.getBigUint64(msghdr_msg_controllen, true));
  let at = CONTROL_AT;
  while (at + cmsghdr_BYTES <= CONTROL_AT + controlLength) {
    const length = Number(lowView.getBigUint64(at + cmsghdr_cmsg_len, true));
    if (length < cmsghdr_BYTES) break;
    const isRights =
      lowView.getInt32(at + cmsghdr_cmsg_level, true) === SOL_SOCKET &&
      lowView.getInt32(at + cmsghdr_cmsg_type, true) === SCM_RIGHTS;
    for (let p = at + cmsghdr_BYTES; isRights && p + 4 <= at + length; p += 4) fds.push(lowView.getInt32(p, true));
    at += (length + 7) & ~7;
  }
  return (lowView.getInt32(msghdr_msg_flags, true) & MSG_CTRUNC) !== 0 ? -EPROTO : count;
}
