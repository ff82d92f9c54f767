/**
 * socket-diag: asks the kernel which TCP sockets there are (sock_diag(7), linux/inet_diag.h): a tenth of what reading /proc/net/tcp costs, and only
 * those that are asked for. Of the network namespace this thread is in.
 *
 * Rules
 * 1. The answer is read to its end before anything else: one question at a time, and nothing is kept open.
 * 2. What does not fit is not there: a kernel without it (CONFIG_INET_DIAG; ports in the question since Linux 4.10), or rules that forbid
 *    netlink, give -errno.
 */
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  EAGAIN,
  INET_DIAG_BC_D_EQ,
  INET_DIAG_BC_JMP,
  INET_DIAG_BC_NOP,
  INET_DIAG_REQ_BYTECODE,
  IPPROTO_TCP,
  inet_diag_bc_op_BYTES,
  inet_diag_msg_id,
  inet_diag_msg_idiag_state,
  inet_diag_req_v2_BYTES,
  inet_diag_req_v2_idiag_states,
  inet_diag_req_v2_sdiag_family,
  inet_diag_req_v2_sdiag_protocol,
  inet_diag_sockid_idiag_dport,
  inet_diag_sockid_idiag_dst,
  inet_diag_sockid_idiag_sport,
  inet_diag_sockid_idiag_src,
  MSG_DONTWAIT,
  NETLINK_SOCK_DIAG,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  nlattr_BYTES,
  nlattr_nla_len,
  nlattr_nla_type,
  nlmsghdr_BYTES,
  nlmsghdr_nlmsg_flags,
  nlmsghdr_nlmsg_len,
  nlmsghdr_nlmsg_type,
  SOCK_CLOEXEC,
  SOCK_DIAG_BY_FAMILY,
  SOCK_RAW,
  sockaddr_in_sin_addr,
  sockaddr_in6_sin6_addr,
} from './constants.generated.ts';
import { close } from './libc.ts';
import { type Mapping, mapLow } from './memory.ts';
import { recv, send, socket } from './socket.ts';
import { encodeAddress, SOCKADDR_BYTES_MAX } from './socket-address.ts';

/** The kernel fills a message of at most this size at a time (NLMSG_GOODSIZE and what the reader has room for, net/netlink/af_netlink.c). */
const ANSWER_BYTES = 32 * 1024;
/** Ports in one question; with more, all are listed. Bounds the question to 12 bytes each. */
export const REMOTE_PORTS_MAX = 64;
/** Words of an address, IPv4 in the first. */
export const ADDRESS_WORDS = 4;

/** A socket, valid for the call it is lent for. */
export class DiagSocket {
  /** TCP_ESTABLISHED ... of netinet/tcp.h. */
  state = 0;
  localPort = 0;
  remotePort = 0;
  /** As {@link addressWords} has them. */
  readonly local = new Uint32Array(ADDRESS_WORDS);
  readonly remote = new Uint32Array(ADDRESS_WORDS);
}

export interface DiagQuestion {
  isV6: boolean;
  /** A bit for each state, 1 << TCP_TIME_WAIT. */
  states: number;
  /** Only those connected to one of these ports. More than REMOTE_PORTS_MAX: all. */
  remotePorts: readonly number[];
}

/** An address without its port as {@link DiagSocket} shows it. Throws AddressError. */
export function addressWords(host: string): Uint32Array {
  const bytes = new Uint8Array(SOCKADDR_BYTES_MAX);
  encodeAddress({ kind: 'ip', host, port: 0 }, bytes, 0);
  const isV6 = host.includes(':');
  const words = new Uint32Array(ADDRESS_WORDS);
  const from = isV6 ? sockaddr_in6_sin6_addr : sockaddr_in_sin_addr;
  new Uint8Array(words.buffer).set(bytes.subarray(from, from + (isV6 ? 16 : 4)));
  return words;
}

interface Room extends Mapping {
  words: Uint32Array;
  view: DataView;
}
let room: Room | null = null;
const row = new DiagSocket();

/** Calls `visit` for each socket. Returns how many there were, or -errno. */
export function listTcp(question: DiagQuestion, visit: (socket: DiagSocket) => void): number {
  if (room === null) {
    const map = mapLow(ANSWER_BYTES);
    room = { ...map, words: new Uint32Array(map.buffer), view: new DataView(map.buffer) };
  }
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return fd;
  const sent = send(fd, room.address, writeQuestion(room, question), 0);
  const result = sent < 0 ? sent : readAnswer(fd, room, visit);
  close(fd);
  return result;
}

function writeQuestion({ bytes, view }: Room, { isV6, states, remotePorts }: DiagQuestion): number {
  const end = nlmsghdr_BYTES + inet_diag_req_v2_BYTES;
  bytes.fill(0, 0, end);
  view.setUint16(nlmsghdr_nlmsg_type, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(nlmsghdr_nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP, true);
  bytes[nlmsghdr_BYTES + inet_diag_req_v2_sdiag_family] = isV6 ? AF_INET6 : AF_INET;
  bytes[nlmsghdr_BYTES + inet_diag_req_v2_sdiag_protocol] = IPPROTO_TCP;
  view.setUint32(nlmsghdr_BYTES + inet_diag_req_v2_idiag_states, states, true);
  const isFiltered = remotePorts.length > 0 && remotePorts.length <= REMOTE_PORTS_MAX;
  const length = isFiltered ? writeFilter(view, end, remotePorts) : 0;
  view.setUint32(nlmsghdr_nlmsg_len, end + length, true);
  return end + length;
}

/**
 * "Connected to one of these ports", as a program for the kernel (inet_diag_bc_run, net/ipv4/inet_diag.c): an operation goes on by `yes` or by `no`
 * bytes. Exactly to the end is a match, beyond it is none.
 *
 *     D_EQ yes 8, no 12     the port is the `no` of the operation behind it
 *     NOP  no PORT
 *     JMP  no TO THE END    only between two ports
 */
function writeFilter(view: DataView, at: number, ports: readonly number[]): number {
  const op = (place: number, code: number, yes: number, no: number): void => {
    view.setUint8(place, code);
    view.setUint8(place + 1, yes);
    view.setUint16(place + 2, no, true);
  };
  const size = inet_diag_bc_op_BYTES;
  const length = nlattr_BYTES + ports.length * 3 * size - size;
  view.setUint16(at + nlattr_nla_len, length, true);
  view.setUint16(at + nlattr_nla_type, INET_DIAG_REQ_BYTECODE, true);
  const end = at + length;
  let place = at + nlattr_BYTES;
  for (const port of ports) {
    op(place, INET_DIAG_BC_D_EQ, 2 * size, 3 * size);
    op(place + size, INET_DIAG_BC_NOP, size, port);
    place += 2 * size;
    if (place === end) break;
    op(place, INET_DIAG_BC_JMP, size, end - place);
    place += size;
  }
  return length;
}

function readAnswer(fd: number, { bytes, words, view, address }: Room, visit: (socket: DiagSocket) => void): number {
  let count = 0;
  for (;;) {
    // Each read makes the kernel fill the next piece, so there is always one.
    const length = recv(fd, address, ANSWER_BYTES, MSG_DONTWAIT);
    if (length <= 0) return length === 0 ? -EAGAIN : length;
    for (let at = 0; at + nlmsghdr_BYTES <= length; ) {
      const size = view.getUint32(at + nlmsghdr_nlmsg_len, true);
      const type = view.getUint16(at + nlmsghdr_nlmsg_type, true);
      if (type === NLMSG_DONE || type === NLMSG_ERROR) return Math.min(0, view.getInt32(at + nlmsghdr_BYTES, true)) || count;
      const socketAt = at + nlmsghdr_BYTES;
      const id = socketAt + inet_diag_msg_id;
      row.state = bytes[socketAt + inet_diag_msg_idiag_state]!;
      row.localPort = view.getUint16(id + inet_diag_sockid_idiag_sport);
      row.remotePort = view.getUint16(id + inet_diag_sockid_idiag_dport);
      for (let i = 0; i < ADDRESS_WORDS; i++) {
        row.local[i] = words[((id + inet_diag_sockid_idiag_src) >> 2) + i]!;
        row.remote[i] = words[((id + inet_diag_sockid_idiag_dst) >> 2) + i]!;
      }
      visit(row);
      count++;
      at += (size + 3) & ~3;
    }
  }
}
