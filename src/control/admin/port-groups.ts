/** port-groups: endpoints by what they share local ports with. Made once for a plan and a range of ports. */
import { type Address, addressText } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import { addressWords } from '../../sys/socket-diag.ts';

/** What is in use towards one endpoint, over all its sources. */
export interface PortUse {
  /** The first pool that has the endpoint. */
  readonly pool: string;
  readonly endpoint: string;
  used: number;
  readonly of: number;
}

/** An address, or an address with its port, to compare by. */
export type AddressKey = number | string;

export interface PortGroup {
  readonly use: PortUse;
  readonly slots: number[];
  /** null: UDP, which is not looked for in the list of connections. */
  readonly remote: (Address & { kind: 'ip' }) | null;
  readonly isV6: boolean;
  readonly isLoopback: boolean;
  /** Local addresses; empty: any. */
  readonly sources: ReadonlySet<AddressKey>;
  /** Connections in the list of the kernel when it was last looked at; 0: there was no reason to look. */
  counted: number;
  /** When that was, by the clock of whoever looks. */
  countedAt: number;
  /** Connections that weir made, as far back as a closed one is remembered; null: nobody asked yet. */
  made: ConnectHistory | null;
}

/** `words` as in sys/socket-diag. */
export function addressKey(words: Uint32Array, isV6: boolean, port: number): AddressKey {
  return isV6 ? `${words[0]} ${words[1]} ${words[2]} ${words[3]} ${port}` : words[0]! * 65536 + port;
}

/** `portCount`: of one source address. */
export function portGroups(plan: Plan | null, portCount: number): PortGroup[] {
  const groups = new Map<string, PortGroup>();
  for (const { name, protocol, sourceAddress, endpoints } of plan?.pools ?? []) {
    if (sourceAddress?.isTransparent) continue;
    for (const { slot, address, resolved } of endpoints) {
      if (slot < 0 || resolved === null || resolved.kind !== 'ip') continue;
      const isV6 = resolved.host.includes(':');
      const sources = (sourceAddress?.addresses ?? []).filter((text) => text.includes(':') === isV6);
      const isUdp = protocol === 'udp';
      const key = `${isUdp ? `udp ${isV6}` : addressText(resolved)} ${sources.join()}`;
      const known = groups.get(key);
      if (known !== undefined) known.slots.push(slot);
      else
        groups.set(key, {
          use: { pool: name, endpoint: address, used: 0, of: portCount * Math.max(1, sources.length) },
          slots: [slot],
          remote: isUdp ? null : resolved,
          isV6,
          isLoopback: /^(?:127\.|::1$)/.test(resolved.host),
          sources: new Set(sources.map((host) => addressKey(addressWords(host), isV6, 0))),
          counted: 0,
          countedAt: Number.NEGATIVE_INFINITY,
          made: null,
        });
    }
  }
  return [...groups.values()];
}

/** How much a counter grew within the last `spanMs`, or at most: from a reading of at least that age. */
export class ConnectHistory {
  private readonly spanMs: number;
  private readonly readings: { at: number; count: number }[] = [];

  constructor(spanMs: number) {
    this.spanMs = spanMs;
  }

  /** Takes the reading of now. Without one that is old enough all that was ever counted may be new. */
  growth(now: number, count: number): number {
    const { readings } = this;
    readings.push({ at: now, count });
    while (readings.length > 1 && readings[1]!.at <= now - this.spanMs) readings.shift();
    const first = readings[0]!;
    return first.at <= now - this.spanMs ? count - first.count : count;
  }
}
