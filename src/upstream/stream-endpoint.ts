/**
 * An endpoint to which connections are carried as they are: a wire is dialled for each and never kept.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Address, Wire, WireOwner } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import type { UpstreamParts } from './parts.ts';
import { Sources } from './sources.ts';

/** After a failed dial others are preferred this long: see endpoint.ts. */
const SUSPECT_MS = 1000;

export class StreamEndpoint {
  readonly slot: number;
  readonly address: Address;
  /** From which of its sources the last dial went. */
  lastSource = -1;
  private isTransparent = false;
  private readonly family: number;
  private readonly sources: Sources;
  private open = 0;
  private suspectUntilMs = 0;
  private readonly parts: UpstreamParts;

  constructor(slot: number, address: Address, parts: UpstreamParts) {
    this.slot = slot;
    this.address = address;
    this.family = address.kind === 'ip' ? (address.host.includes(':') ? 6 : 4) : 0;
    this.sources = new Sources(address);
    this.parts = parts;
  }

  use(source: SourcePlan | null): void {
    this.isTransparent = source?.isTransparent ?? false;
    this.sources.use(source);
  }

  isSuspect(nowMs: number): boolean {
    return nowMs < this.suspectUntilMs;
  }

  /** Opens a wire; its outcome goes to the owner, who tells opened() or failed(), and closed() after opened(). */
  dial(owner: WireOwner, client: ClientAddress): Wire {
    const { engine } = this.parts;
    this.lastSource = -1;
    // A client of the other family cannot be shown to this endpoint: it sees the machine.
    if (this.isTransparent && client.family === this.family) return engine.dial(this.address, owner, client.text, true);
    this.lastSource = this.sources.next(engine.now);
    return engine.dial(this.address, owner, this.sources.address(this.lastSource));
  }

  /** A dial from `source` failed with `errno` after `ms`: may it be made again at once, from another source? Then it is counted here. */
  mayRedial(source: number, errno: number, faultId: number, ms: number): boolean {
    const { engine, table } = this.parts;
    if (!this.sources.isAnotherLeft(source, errno, engine.now)) return false;
    table.connected(this.slot, faultId, ms);
    return true;
  }

  opened(ms: number): void {
    this.suspectUntilMs = 0;
    this.open++;
    const { table } = this.parts;
    table.connected(this.slot, 0, ms);
    table.wires(this.slot, 0, this.open);
  }

  failed(faultId: number, ms: number): void {
    this.suspectUntilMs = this.parts.engine.now + SUSPECT_MS;
    this.parts.table.connected(this.slot, faultId, ms);
  }

  closed(): void {
    this.open--;
    this.parts.table.wires(this.slot, 0, this.open);
  }
}
