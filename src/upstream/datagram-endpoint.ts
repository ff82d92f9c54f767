/** An endpoint to which datagrams are carried: a socket is connected for each client, so that answers and refusals are its own. */
import type { ClientAddress } from '../base/client-address.ts';
import type { Address, DatagramOwner, DatagramSocket } from '../base/wire.ts';
import type { SourcePlan } from '../state/plan.ts';
import type { UpstreamParts } from './parts.ts';

/** After a refusal others are preferred this long: see endpoint.ts. */
const SUSPECT_MS = 1000;

export class DatagramEndpoint {
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
    this.sources = source === null ? [] : source.addresses.filter((text) => text.includes(':') === isV6);
  }

  isSuspect(nowMs: number): boolean {
    return nowMs < this.suspectUntilMs;
  }

  /** A socket of one client; closed() follows once, when it was closed. */
  connect(owner: DatagramOwner, client: ClientAddress): DatagramSocket {
    const { engine, table } = this.parts;
    this.open++;
    table.wires(this.slot, 0, this.open);
    if (this.source?.isTransparent && client.family !== 0) {
      client.spell();
      return engine.connectDatagrams(this.address, owner, client.text, true);
    }
    const { sources } = this;
    if (sources.length === 0) return engine.connectDatagrams(this.address, owner);
    this.nextSource = (this.nextSource + 1) % sources.length;
    return engine.connectDatagrams(this.address, owner, sources[this.nextSource]);
  }

  /** It refused a datagram, or could not be connected to, `ms` after the first one was sent. */
  failed(faultId: number, ms: number): void {
    this.suspectUntilMs = this.parts.engine.now + SUSPECT_MS;
    this.parts.table.connected(this.slot, faultId, ms);
  }

  closed(): void {
    this.open--;
    this.parts.table.wires(this.slot, 0, this.open);
  }
}
