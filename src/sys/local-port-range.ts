/**
 * local-port-range: may a socket that connects to this port meet itself? Where nobody listens at a port from which the kernel takes local ports, it may choose that very
 * port, and the connection comes about without anybody else (simultaneous open, RFC 9293 §3.5); of UDP likewise.
 */
import { readFileSync } from 'node:fs';
import type { Address } from '../base/wire.ts';

/** The kernel's own range, should this one not be readable (ip(7)). */
const DEFAULT_RANGE: readonly [number, number] = [32768, 60999];

export class LocalPortRange {
  private readonly first: number;
  private readonly last: number;

  /** As of now, in the network namespace of this process. */
  constructor() {
    [this.first, this.last] = readRange();
  }

  mayMeetItself(address: Address): boolean {
    return address.kind === 'ip' && address.port >= this.first && address.port <= this.last;
  }
}

/** First and last of net.ipv4.ip_local_port_range as the kernel writes it: "32768\t60999\n". */
export function parsePortRange(text: string): readonly [number, number] {
  const [first, last] = text.trim().split(/\s+/).map(Number);
  return [first!, last!];
}

function readRange(): readonly [number, number] {
  try {
    return parsePortRange(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'));
  } catch {
    return DEFAULT_RANGE;
  }
}
