/**
 * source-address: what keeps this machine from an address, before anything is sent.
 *
 * connect(2) of TCP says EADDRNOTAVAIL when no local port is left, and also when there is no address to connect from: IPv6 is switched off, or the address
 * asked for is not this machine's. ENETUNREACH may be a router's word, or that of this machine's routes. A datagram socket finds address and route in the same way,
 * connecting it sends nothing, and for want of a port it says EAGAIN. So what it is told is about this machine's addresses and routes alone.
 */
import type { Address } from '../base/wire.ts';
import { EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH } from './constants.generated.ts';
import { datagramSocket, datagramSocketFrom } from './datagram.ts';
import { close } from './libc.ts';
import { connect } from './socket.ts';
import { familyOf } from './socket-address.ts';

/**
 * EADDRNOTAVAIL: there is no address to connect from, or `source` is none of this machine's. ENETUNREACH: there is no route. EAFNOSUPPORT: the kernel does not know
 * the family. 0: none of these. Four system calls, for whoever has failed to connect.
 */
export function obstacleTo(address: Address, source?: string): number {
  if (address.kind === 'unix') return 0;
  const family = familyOf(address);
  const fd = source === undefined ? datagramSocket(family) : datagramSocketFrom(family, source, false);
  const result = fd < 0 ? fd : connect(fd, address);
  if (fd >= 0) close(fd);
  return result === -EADDRNOTAVAIL || result === -ENETUNREACH || result === -EAFNOSUPPORT ? -result : 0;
}

/** Has this machine an address to connect from? Where it has, EADDRNOTAVAIL means that there is no port. */
export function hasSource(address: Address, source?: string): boolean {
  return obstacleTo(address, source) !== EADDRNOTAVAIL;
}
