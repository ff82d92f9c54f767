/**
 * uring-tags: what stands in user_data of an SQE, and so comes back with its completions.
 *
 *     low word    index << 4 | operation        high word   generation of what the index names
 *
 * The generation tells a late completion for a slot that has another tenant from one for the present tenant.
 */

/** Operations by number, 4 bits. */
export const operation = Object.freeze({
  receive: 0,
  send: 1,
  connect: 2,
  accept: 3,
  /** The socket of a wire that does not receive has failed. */
  watch: 4,
  /** Wakes the wait; the generation says which of them. */
  timeout: 5,
  write: 6,
  /** The descriptor of a file to be written became writable. */
  writable: 7,
  /** Node's own loop has something to do. */
  node: 8,
  /** A failed close: nothing can be done, the descriptor is gone (close(2)). */
  close: 9,
  // Answers to cancels that found nothing; one that succeeds is silent.
  cancelReceive: 10,
  cancelSend: 11,
  cancelConnect: 12,
  cancelWatch: 13,
  cancelAccept: 14,
  /** Of a datagram socket; which operation stands in the index (uring-datagram.ts). */
  datagram: 15,
});

export const OPERATION_BITS = 4;
export const OPERATION_MASK = 15;
