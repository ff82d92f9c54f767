/**
 * uring-newer: constants of io_uring that Linux 6.1's headers (Debian 12) do not have yet, from include/uapi/linux/io_uring.h of the
 * version named. What uses them asks the running kernel first.
 */

/** No SQ index array: entry n of the ring is SQE n. Linux 6.6. */
export const IORING_SETUP_NO_SQARRAY = 0x1_0000;
