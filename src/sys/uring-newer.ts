/**
 * uring-newer: constants of io_uring that Linux 6.1's headers (Debian 12) do not have yet, from include/uapi/linux/io_uring.h of the
 * version named. What uses them asks the running kernel first.
 */

/** No SQ index array: entry n of the ring is SQE n. Linux 6.6. */
export const IORING_SETUP_NO_SQARRAY = 0x1_0000;
/** The wait is not counted as waiting for I/O, which keeps cpufreq and the load average honest. Linux 6.15. */
export const IORING_ENTER_NO_IOWAIT = 0x80;
/** The kernel and this program agree that IORING_ENTER_NO_IOWAIT may be given. Linux 6.15. */
export const IORING_FEAT_NO_IOWAIT = 0x2_0000;
