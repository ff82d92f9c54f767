/**
 * uring-datagram-tags: user_data of datagram sockets' operations. Which of them stands between the index and the operation of the ring:
 *
 *     low word    index << 7 | which << 4 | operation.datagram        high word   tenancy of the socket
 */
import { OPERATION_BITS, operation } from './uring-tags.ts';

const WHICH_BITS = 3;
export const WHICH_MASK = 7;
export const which = Object.freeze({
  receive: 0,
  send: 1,
  connect: 2,
  disconnect: 3,
  cancelReceive: 4,
  poll: 5,
  cancelPoll: 6,
  cancelConnect: 7,
});

export function datagramTag(index: number, operationOf: number): number {
  return (((index << WHICH_BITS) | operationOf) << OPERATION_BITS) | operation.datagram;
}

/** Index of a socket in what the ring's tag says is the index. */
export function indexIn(tagged: number): number {
  return tagged >>> WHICH_BITS;
}
