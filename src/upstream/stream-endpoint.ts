/**
 * An endpoint to which connections are carried as they are: a wire is dialled for each and never kept.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Wire, WireOwner } from '../base/wire.ts';
import { CarriedEndpoint } from './carried-endpoint.ts';

export class StreamEndpoint extends CarriedEndpoint {
  /** From which of its sources the last dial went. */
  lastSource = -1;

  /** Opens a wire; its outcome goes to the owner, who tells opened() or failed(), and closed() after opened(). */
  dial(owner: WireOwner, client: ClientAddress): Wire {
    const { engine } = this.parts;
    this.lastSource = -1;
    if (this.shows(client)) return engine.dial(this.address, owner, client.text, true);
    this.lastSource = this.sources.next(engine.now);
    return engine.dial(this.address, owner, this.sources.address(this.lastSource));
  }

  /** Of a dial from `source` that failed with `errno`. */
  faultOf(source: number, errno: number): number {
    return this.sources.faultOf(source, errno, this.parts.engine);
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
