/** Addresses that a config listens on, and which of them the kernel cannot give both: the same one, or one of this machine beside all of them. */
import type { Address } from '../../base/wire.ts';
import type { Node } from './node.ts';

interface Bound {
  /** Path of a unix socket, or an IP address. */
  host: string;
  text: string;
  node: Node;
}

export class BoundAddresses {
  /** By port and transport, or by the path of a unix socket. */
  private readonly bound = new Map<string, Bound[]>();

  /** Notes one more. null: it is free; else where the one it clashes with stands, and how to say so. `text`: as it is written. */
  add(address: Address, isUdp: boolean, text: string, node: Node): { before: Node; message: string } | null {
    // Port 0 asks for any free port, so two of them are two.
    if (address.kind === 'ip' && address.port === 0) return null;
    // A TCP and a UDP socket may have the same address: DNS does.
    const key = address.kind === 'ip' ? `${address.port} ${isUdp}` : `unix:${address.path}`;
    const host = address.kind === 'ip' ? address.host : address.path;
    const others = this.bound.get(key) ?? [];
    this.bound.set(key, others);
    const other = others.find((its) => its.host === host || isAllOf(its.host, host) || isAllOf(host, its.host));
    if (other === undefined) {
      others.push({ host, text, node });
      return null;
    }
    const message = 'this address is listened on twice';
    if (other.host === host) return { before: other.node, message };
    const wide = isAllOf(host, other.host) ? text : other.text;
    return { before: other.node, message: `${message}: ${wide} is all addresses of this machine` };
  }
}

/** `::` takes IPv4 too, as weir binds it. */
function isAllOf(wide: string, host: string): boolean {
  return wide === '::' || (wide === '0.0.0.0' && !host.includes(':'));
}
