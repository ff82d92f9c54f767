/**
 * An endpoint to which connections are carried as they are: a wire is dialled for each and never kept.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Address, Wire, WireOwner } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import type { UpstreamParts } from './parts.ts';

/** After a failed dial others are preferred this long: see endpoint.ts. */
const SUSPECT_MS = 1000;

export class StreamEndpoint {
  readonly slot: number;
  readonly address: Address;
  private source: SourcePlan | null = null;
  /** Source addresses of the endpoint's own family. */
  private sources: readonly string[] = [];
  private nextSource = 0;
  private open = 0;
  private suspectUntilMs = 0;
  private readonly parts: UpstreamParts;

  constructor(slot: number, address: Address, parts: UpstreamParts) {
    this.slot = slot;
    this.address = address;
    this.parts = parts;
  }

  use(source: SourcePlan | null): void {
    this.source = source;
    const { address } = this;
    const isV6 = address.kind === 'ip' && address.host.includes(':');
    this.sources = source === null || address.kind !== 'ip' ? [] : source.addresses.filter((text) => text.includes(':') === isV6);
  }

  isSuspect(nowMs: number): boolean {
    return nowMs < this.suspectUntilMs;
  }

  /** Opens a wire; its outcome goes to the owner, who tells opened() or failed(), and closed() after opened(). */
  dial(owner: WireOwner, client: ClientAddress): Wire {
    const { engine } = this.parts;
    if (this.source?.isTransparent && client.family !== 0) return engine.dial(this.address, owner, client.text, true);
    const { sources } = this;
    if (sources.length === 0) return engine.dial(this.address, owner);
    this.nextSource = (this.nextSource + 1) % sources.length;
    return engine.dial(this.address, owner, sources[this.nextSource]);
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
