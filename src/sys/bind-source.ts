/** bind-source: a local address for a socket that is about to connect. */
import { IP_BIND_ADDRESS_NO_PORT, IPPROTO_IP } from './constants.generated.ts';
import { bind, setsockopt, setTransparent } from './socket.ts';

/**
 * Binds to `host` without a port: that is chosen at connect, when the other end is known, so that ports are shared between endpoints (Linux 4.2).
 * `isTransparent` as in {@link setTransparent}. 0 or -errno.
 */
export function bindSource(fd: number, host: string, isTransparent: boolean): number {
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const allowed = isTransparent ? setTransparent(fd, host) : 0;
  return allowed < 0 ? allowed : bind(fd, { kind: 'ip', host, port: 0 });
}
