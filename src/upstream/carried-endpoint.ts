/** What endpoints of connections and of datagrams have in common: their sources, how many are open, and whether the last try failed. */
import type { ClientAddress } from '../base/client-address.ts';
import { SUSPECT_MS } from '../base/suspect.ts';
import type { Address } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import type { UpstreamParts } from './parts.ts';
import { Sources } from './sources.ts';

export abstract class CarriedEndpoint {
  readonly slot: number;
  readonly address: Address;
  protected readonly sources: Sources;
  protected suspectUntilMs = 0;
  private isTransparent = false;
  private readonly family: number;
  protected readonly parts: UpstreamParts;
  private open = 0;

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

  /** It refused, or could not be connected to, `ms` after it was first asked. */
  failed(faultId: number, ms: number): void {
    this.suspectUntilMs = this.parts.engine.now + SUSPECT_MS;
    this.parts.table.connected(this.slot, faultId, ms);
  }

  closed(): void {
    this.countOpen(-1);
  }

  /** Is it connected to from the client's own address? A client of the other family cannot be shown to it: it sees the machine. */
  protected shows(client: ClientAddress): boolean {
    return this.isTransparent && client.family === this.family;
  }

  /** One more is open, or one less. */
  protected countOpen(delta: number): void {
    this.open += delta;
    this.parts.table.wires(this.slot, 0, this.open);
  }
}
