/**
 * check-way: what a check says where this machine has no way to the endpoint: no address to connect from, or no route. Neither comes by itself, nor by waiting for a
 * port, so the check has failed, and its evidence says what to do.
 */
import type { Address } from '../../base/wire.ts';
import { EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH } from '../../sys/constants.generated.ts';
import { errnoName } from '../../sys/libc.ts';
import { obstacleTo } from '../../sys/source-address.ts';
import { failed, failedByCode, type Heard, UNROUTABLE } from './check.ts';

/** Errors of connect(2) that may be this machine's, or may not: then the kernel is asked once more. */
const mayBeHere: ReadonlySet<string> = new Set([EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH].map(errnoName));

const BY_IPV4 = 'or name the endpoint by its IPv4 address';

/** By the error, of IPv6 and of IPv4. */
const advice: Readonly<Record<number, readonly [string, string]>> = {
  [EADDRNOTAVAIL]: [
    `no IPv6 address on this machine: switch IPv6 on (net.ipv6.conf.all.disable_ipv6), ${BY_IPV4}`,
    'no IPv4 address on this machine: add one',
  ],
  [EAFNOSUPPORT]: [
    `no IPv6 in the kernel of this machine: take one that has it, ${BY_IPV4}`,
    'no IPv4 in the kernel of this machine',
  ],
  [ENETUNREACH]: [
    `no IPv6 route to it on this machine: give it an address and a route, ${BY_IPV4}`,
    'no IPv4 route to it on this machine: give it an address or a route',
  ],
};

/** Connecting to `address` failed with this error, by its name. null: not for want of a way. */
export function noWay(code: string, address: Address): Heard | null {
  if (address.kind === 'unix' || !mayBeHere.has(code)) return null;
  const texts = advice[obstacleTo(address)];
  return texts === undefined ? null : failed(UNROUTABLE, `${texts[address.host.includes(':') ? 0 : 1]} (${code})`);
}

/** Connecting to `address` failed with this error of the kernel; `errno` is positive. */
export function failedToConnect(errno: number, address: Address): Heard {
  const code = errnoName(errno);
  return noWay(code, address) ?? failedByCode(code);
}
