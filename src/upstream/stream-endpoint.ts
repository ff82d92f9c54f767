/**
 * An endpoint to which connections are carried as they are: a wire is dialled for each and never kept.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Address, Wire, WireOwner } from '../base/wire.ts';
import { CarriedEndpoint } from './carried-endpoint.ts';
import type { UpstreamParts } from './parts.ts';

export class StreamEndpoint extends CarriedEndpoint {
  /** From which of its sources the last dial went. */
  lastSource = -1;
  private readonly family: number;

  constructor(slot: number, address: Address, parts: UpstreamParts) {
    super(slot, address, parts);
    this.family = address.kind === 'ip' ? (address.host.includes(':') ? 6 : 4) : 0;
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
    this.parts.table.connected(this.slot, 0, ms);
    this.countOpen(1);
  }
}
