/** What endpoints of connections and of datagrams have in common: their sources, how many are open, and whether the last try failed. */
import { SUSPECT_MS } from '../base/suspect.ts';
import type { Address } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import type { UpstreamParts } from './parts.ts';
import { Sources } from './sources.ts';

export abstract class CarriedEndpoint {
  readonly slot: number;
  readonly address: Address;
  protected isTransparent = false;
  protected readonly sources: Sources;
  protected suspectUntilMs = 0;
  protected readonly parts: UpstreamParts;
  private open = 0;

  constructor(slot: number, address: Address, parts: UpstreamParts) {
    this.slot = slot;
    this.address = address;
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

  /** One more is open, or one less. */
  protected countOpen(delta: number): void {
    this.open += delta;
    this.parts.table.wires(this.slot, 0, this.open);
  }
}
