/**
 * epoll-tags: what stands in the user data of a registration, and so comes back with its events.
 *
 *     low word    kind << 28 | place of what it names        high word   its generation, where it has one
 */

export const KIND_SHIFT = 28;
export const PLACE_MASK: number = 2 ** KIND_SHIFT - 1;

/** 0, so that the low word of a wire is its place. */
export const KIND_WIRE = 0;
export const KIND_ACCEPTOR = 1;
export const KIND_WRITE = 2;
/** Node's own loop has something to do. */
export const KIND_NODE = 3;
export const KIND_DATAGRAM = 4;
