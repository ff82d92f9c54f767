/** dial: what the kernel is told of a stream socket before it connects, whichever driver connects it. */
import type { Address } from '../base/wire.ts';
import { bindSource } from '../sys/bind-source.ts';
import { IPPROTO_TCP, TCP_NODELAY } from '../sys/constants.generated.ts';
import { setsockopt } from '../sys/socket.ts';

/** 0 or -errno. `source` and `isTransparent` as in Engine.dial (base/wire.ts). */
export function prepareDial(fd: number, address: Address, source: string | undefined, isTransparent: boolean): number {
  if (address.kind !== 'ip') return 0;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return source === undefined ? 0 : bindSource(fd, source, isTransparent);
}
