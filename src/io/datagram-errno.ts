import { EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPERM } from '../sys/constants.generated.ts';

/** Does an error of a send say something about the peer or the way to it? Others are about one datagram, or follow an error that was told. */
export function isRefusal(errno: number): boolean {
  return errno === ECONNREFUSED || errno === EHOSTUNREACH || errno === ENETUNREACH || errno === EPERM || errno === EACCES;
}
