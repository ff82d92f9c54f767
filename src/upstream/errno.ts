import { constants } from 'node:os';
import { fault } from '../base/faults.ts';

const { errno } = constants;

/** What an error of connect(2) means to an exchange. */
export function faultOfErrno(code: number): number {
  switch (code) {
    case errno.ETIMEDOUT:
      return fault.connectionTimeout;
    case errno.ENETUNREACH:
    case errno.EHOSTUNREACH:
    case errno.ENETDOWN:
    case errno.EAFNOSUPPORT:
    case errno.EACCES:
    case errno.EPERM:
      return fault.unroutable;
    case errno.EADDRNOTAVAIL:
    case errno.EMFILE:
    case errno.ENFILE:
    case errno.ENOBUFS:
    case errno.ENOMEM:
      return fault.outOfPorts;
    default:
      // ECONNREFUSED, ECONNRESET while connecting, ENOENT of a unix socket.
      return fault.connectionRefused;
  }
}
