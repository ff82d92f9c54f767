/**
 * Sources: the local addresses from which one endpoint is connected to, in turns. Each has ports of its own; one that has none left for this endpoint
 * (EADDRNOTAVAIL) rests a moment while the others are used.
 */
import { constants } from 'node:os';
import { fault } from '../base/faults.ts';
import type { Address, Engine } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import { faultOfErrno } from './errno.ts';

/** A port in TIME_WAIT comes back after a minute at most, one of a connection that ends at any time: soon enough to notice, long enough to cost little. */
const REST_MS = 1000;

export class Sources {
  private readonly to: Address;
  private addresses: readonly string[] = [];
  private readonly isV6: boolean;
  private restsUntilMs = new Float64Array(0);
  private last = 0;
  // The source that the kernel was asked about last, until when that holds, and whether this machine has it.
  private asked = -1;
  private askAgainMs = Number.NEGATIVE_INFINITY;
  private isThere = true;

  /** Towards this address. */
  constructor(address: Address) {
    this.to = address;
    this.isV6 = address.kind === 'ip' && address.host.includes(':');
  }

  /** Those of the endpoint's own family count. */
  use(plan: SourcePlan | null): void {
    const addresses = (plan?.addresses ?? []).filter((text) => text.includes(':') === this.isV6);
    if (addresses.join() === this.addresses.join()) return;
    this.addresses = addresses;
    this.restsUntilMs = new Float64Array(addresses.length);
    this.last = 0;
    this.askAgainMs = Number.NEGATIVE_INFINITY;
  }

  /** The one whose turn it is. When all rest, they are tried all the same. -1: the kernel chooses. */
  next(nowMs: number): number {
    const { addresses, restsUntilMs } = this;
    const { length } = addresses;
    if (length === 0) return -1;
    let at = this.last;
    for (let tries = 0; tries < length; tries++) {
      at = at + 1 < length ? at + 1 : 0;
      if (restsUntilMs[at]! <= nowMs) break;
    }
    this.last = at;
    return at;
  }

  /** undefined: the kernel chooses. */
  address(index: number): string | undefined {
    // An index below 0 makes a slow lookup of an array.
    return index < 0 ? undefined : this.addresses[index];
  }

  /**
   * The fault of a dial from this one, or from the kernel's choice (-1), that failed with `errno`: without an address to connect from the endpoint cannot be
   * reached, without a port not now. Which it is the kernel is asked once in REST_MS: those who find no port are many.
   */
  faultOf(index: number, errno: number, engine: Pick<Engine, 'hasSource' | 'now'>): number {
    if (errno !== constants.errno.EADDRNOTAVAIL) return faultOfErrno(errno);
    if (index !== this.asked || engine.now >= this.askAgainMs) {
      this.asked = index;
      this.askAgainMs = engine.now + REST_MS;
      this.isThere = engine.hasSource(this.to, this.address(index));
    }
    return this.isThere ? faultOfErrno(errno) : fault.unroutable;
  }

  /** A dial from this one failed with `errno`. True: another one may have a port. */
  isAnotherLeft(index: number, errno: number, nowMs: number): boolean {
    const { restsUntilMs } = this;
    if (errno !== constants.errno.EADDRNOTAVAIL || index < 0 || index >= restsUntilMs.length) return false;
    restsUntilMs[index] = nowMs + REST_MS;
    for (let i = 0; i < restsUntilMs.length; i++) if (restsUntilMs[i]! <= nowMs) return true;
    return false;
  }
}
