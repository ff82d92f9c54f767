/**
 * uring-submit: the SQEs of wires: which opcode, which flags, which words. Knows no state.
 *
 * Where a descriptor is closed, the close goes down in the same submission as the cancels before it, and the kernel takes them in
 * order. Success of both is silent.
 */
import {
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_RECV_MULTISHOT,
  IORING_RECVSEND_POLL_FIRST,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  MSG_MORE,
  MSG_NOSIGNAL,
  POLLIN,
  POLLOUT,
} from '../sys/constants.generated.ts';
import type { Ring } from '../sys/uring.ts';
import { OPERATION_BITS, operation } from './uring-tags.ts';

const RECEIVE_ONE = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8);
const RECEIVE_MANY = RECEIVE_ONE | (IORING_RECV_MULTISHOT << 16);
const POLL_FIRST = IORING_RECVSEND_POLL_FIRST << 16;
const CANCEL = IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8);
const CLOSE = IORING_OP_CLOSE | (IOSQE_CQE_SKIP_SUCCESS << 8);

/** Receives again and again into blocks of the ring; `limit` bytes at most, 0 for no limit (Linux 6.17 can limit). */
export function receiveMany(ring: Ring, fd: number, limit: number, index: number, generation: number): void {
  ring.putReceive(RECEIVE_MANY, fd, 0, limit, (index << OPERATION_BITS) | operation.receive, generation);
}

/** Receives once. */
export function receiveOne(ring: Ring, fd: number, index: number, generation: number): void {
  ring.putReceive(RECEIVE_ONE, fd, 0, 0, (index << OPERATION_BITS) | operation.receive, generation);
}

/**
 * Sends `length` bytes. What the socket has no room for is not waited for (no MSG_WAITALL): progress must show, else a slow reader of a
 * large block looks like a dead one. `isFull`: the last send was cut short, so wait for room first instead of trying in vain. `isLast`: the end of
 * stream follows at once, so let it share the last packet.
 */
export function send(
  ring: Ring,
  fd: number,
  at: number,
  length: number,
  isFull: boolean,
  isLast: boolean,
  index: number,
  generation: number,
): void {
  const tag = (index << OPERATION_BITS) | operation.send;
  const flags = isLast ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
  ring.put(IORING_OP_SEND | (isFull ? POLL_FIRST : 0), fd, 0, 0, at, length, flags, tag, generation);
}

/** The same for the msghdr at `at`. */
export function sendMessage(
  ring: Ring,
  fd: number,
  at: number,
  isFull: boolean,
  isLast: boolean,
  index: number,
  generation: number,
): void {
  const tag = (index << OPERATION_BITS) | operation.send;
  const flags = isLast ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
  ring.put(IORING_OP_SENDMSG | (isFull ? POLL_FIRST : 0), fd, 0, 0, at, 1, flags, tag, generation);
}

/** Completes when there is something to receive: in the place of the receive. */
export function awaitBytes(ring: Ring, fd: number, index: number, generation: number): void {
  ring.put(IORING_OP_POLL_ADD, fd, 0, 0, 0, 0, POLLIN, (index << OPERATION_BITS) | operation.receive, generation);
}

/** Completes when there is room to send: in the place of the send. */
export function awaitRoom(ring: Ring, fd: number, index: number, generation: number): void {
  ring.put(IORING_OP_POLL_ADD, fd, 0, 0, 0, 0, POLLOUT, (index << OPERATION_BITS) | operation.send, generation);
}

/** Connects to the sockaddr at `at`, which the kernel reads at the next submission. */
export function connect(ring: Ring, fd: number, at: number, length: number, index: number, generation: number): void {
  ring.put(IORING_OP_CONNECT, fd, length, 0, at, 0, 0, (index << OPERATION_BITS) | operation.connect, generation);
}

/**
 * Completes when the socket fails. No event is asked for: errors and hang-ups come unasked. So does an end of stream, which is why
 * there is no watch after one: it would fire at once. A reset that follows an end is learnt by the next send.
 */
export function watch(ring: Ring, fd: number, index: number, generation: number): void {
  ring.put(IORING_OP_POLL_ADD, fd, 0, 0, 0, 0, 0, (index << OPERATION_BITS) | operation.watch, generation);
}

/** Cancels operation `which` of a slot. When there is none to be found, `answer` comes back. */
export function cancel(ring: Ring, which: number, answer: number, index: number, generation: number): void {
  const slot = index << OPERATION_BITS;
  ring.putCancel(CANCEL, slot | which, generation, slot | answer, generation);
}

export function closeDescriptor(ring: Ring, fd: number): void {
  ring.put(CLOSE, fd, 0, 0, 0, 0, 0, operation.close, 0);
}
