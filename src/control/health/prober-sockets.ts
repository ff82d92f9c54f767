/**
 * prober-sockets: where the prober gets its sockets and where they go.
 *
 * Rules
 * 1. A reset leaves nothing behind, on neither side; a close sends a FIN.
 * 2. While many checks are made, a socket that was reset is kept and connected anew: making and destroying one is a fifth of what a check costs.
 */
import type { Address } from '../../base/wire.ts';
import { close, connectTo, setReset, streamSocket } from '../../sys/libc.ts';

/** A sockaddr of AF_UNSPEC: a stream socket that is connected to it is reset, and may be connected anew (connect(2)). */
const NOWHERE = new Uint8Array(16);

export interface SocketParts {
  /** socket(2), for tests that make it fail. */
  open?: (address: Address) => number;
}

export class ProberSockets {
  private readonly open: (address: Address) => number;
  private readonly keptMax: number;
  /** Connected to nothing, of IPv4 and of IPv6. */
  private readonly kept: readonly [number[], number[]] = [[], []];

  constructor(keptMax: number, parts: SocketParts) {
    this.keptMax = keptMax;
    this.open = parts.open ?? streamSocket;
  }

  /** A socket to connect to `address`, or -errno. */
  take(address: Address): number {
    return this.keptFor(address)?.pop() ?? this.open(address);
  }

  /** `keeps`: it may be used again. */
  reset(fd: number, address: Address, keeps: boolean): void {
    const kept = this.keptFor(address);
    if (keeps && kept !== null && kept.length < this.keptMax && connectTo(fd, NOWHERE) === 0) {
      kept.push(fd);
      return;
    }
    if (kept !== null) setReset(fd);
    close(fd);
  }

  stop(): void {
    for (const kept of this.kept) for (const fd of kept.splice(0)) close(fd);
  }

  /** null: a unix socket is connected once, and has no reset. */
  private keptFor(address: Address): number[] | null {
    return address.kind === 'unix' ? null : this.kept[address.host.includes(':') ? 1 : 0];
  }
}
