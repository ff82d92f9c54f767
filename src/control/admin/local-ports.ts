/**
 * LocalPorts: how many of the ports that this machine has for connecting to an endpoint are in use.
 *
 * A connection is told from others by four numbers. Towards one endpoint (address and port) from one source address only the local port is left: that is
 * the whole of net.ipv4.ip_local_port_range, 28,232 by default (ip-sysctl, Linux), for all workers, and for connections that are closed and still
 * remembered (TIME_WAIT, 60 s) unless the kernel may use their ports again (net.ipv4.tcp_tw_reuse).
 *
 * Rules
 * 1. Counting is cheap as long as there is nothing to fear: weir's own connections, from the state table.
 * 2. When those and all of TIME_WAIT would take half of what there is, the kernel's list of connections is read: other programs use the same ports.
 * 3. Sessions of UDP each take a port of their own of the source address, whatever the endpoint: their pools share one count.
 * 4. From the client's own address (transparent) each client has ports of its own: nothing to count.
 */
import { readFile } from 'node:fs/promises';
import { type Address, addressText } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import { encodeAddress, SOCKADDR_BYTES_MAX } from '../../sys/libc.ts';

/** Share of the ports from which on they are counted exactly. */
const EXACT_RATIO = 0.5;
const TIME_WAIT = '06';

/** What is in use towards one endpoint, over all its sources. */
export interface PortUse {
  pool: string;
  endpoint: string;
  used: number;
  of: number;
}

interface Group extends PortUse {
  /** null: UDP, which is not looked for in the list of connections. */
  remote: string | null;
  isLoopback: boolean;
  /** Local addresses as the kernel writes them; empty: any. */
  sources: ReadonlySet<string>;
}

type ReadText = (path: string) => Promise<string>;
type PortTable = Pick<Tally, 'remaining'>;

export class LocalPorts {
  /** As of the last look, one row per endpoint; the first pool that has it. */
  uses: readonly PortUse[] = [];
  private readonly tally: PortTable;
  private readonly plan: () => Plan | null;
  private readonly read: ReadText;

  constructor(tally: PortTable, plan: () => Plan | null, read: ReadText = (path) => readFile(path, 'latin1')) {
    this.tally = tally;
    this.plan = plan;
    this.read = read;
  }

  async look(): Promise<void> {
    const { read } = this;
    const range = portsIn(await read('/proc/sys/net/ipv4/ip_local_port_range'));
    const reserved = await read('/proc/sys/net/ipv4/ip_local_reserved_ports');
    const portCount = range === null ? 0 : range[1] - range[0] + 1 - countReserved(reserved, range);
    if (range === null || portCount <= 0) return;
    const groups = this.groups(portCount);
    const timeWait = Number(/^TCP:.* tw (\d+)/m.exec(await read('/proc/net/sockstat'))?.[1] ?? 0);
    const close = groups.filter(({ remote, used, of }) => remote !== null && used + timeWait >= of * EXACT_RATIO);
    if (close.length > 0) await this.count(close, range);
    this.uses = groups.map(({ pool, endpoint, used, of }) => ({ pool, endpoint, used, of }));
  }

  /** Endpoints by what they share ports with, weir's own connections counted. */
  private groups(portCount: number): Group[] {
    const groups = new Map<string, Group>();
    for (const { name, protocol, sourceAddress, endpoints } of this.plan()?.pools ?? []) {
      if (sourceAddress?.isTransparent) continue;
      for (const { slot, address, resolved } of endpoints) {
        if (slot < 0 || resolved === null || resolved.kind !== 'ip') continue;
        const isV6 = resolved.host.includes(':');
        const sources = (sourceAddress?.addresses ?? []).filter((text) => text.includes(':') === isV6);
        const isUdp = protocol === 'udp';
        const key = `${isUdp ? `udp ${isV6}` : addressText(resolved)} ${sources.join()}`;
        const { requests, tunnels, wiresIdle } = this.tally.remaining(slot);
        const own = requests + tunnels + wiresIdle;
        const known = groups.get(key);
        if (known !== undefined) known.used += own;
        else
          groups.set(key, {
            pool: name,
            endpoint: address,
            used: own,
            of: portCount * Math.max(1, sources.length),
            remote: isUdp ? null : asInProc(resolved),
            isLoopback: /^(?:127\.|::1$)/.test(resolved.host),
            sources: new Set(sources.map((host) => asInProc({ kind: 'ip', host, port: 0 }).slice(0, -5))),
          });
      }
    }
    return [...groups.values()];
  }

  /** Counts connections of the whole network namespace. */
  private async count(groups: readonly Group[], [low, high]: readonly [number, number]): Promise<void> {
    const reuse = (await this.read('/proc/sys/net/ipv4/tcp_tw_reuse')).trim();
    const byRemote = new Map<string, Group[]>();
    for (const group of groups) {
      group.used = 0;
      const same = byRemote.get(group.remote!);
      if (same === undefined) byRemote.set(group.remote!, [group]);
      else same.push(group);
    }
    for (const path of ['/proc/net/tcp', '/proc/net/tcp6']) {
      const isV6 = path.endsWith('6');
      if (!groups.some(({ remote }) => remote!.length > 13 === isV6)) continue;
      for (const [, local, port, remote, state] of (await this.read(path)).matchAll(CONNECTION)) {
        const localPort = Number.parseInt(port!, 16);
        if (localPort < low || localPort > high) continue;
        for (const group of byRemote.get(remote!) ?? []) {
          if (group.sources.size > 0 && !group.sources.has(local!)) continue;
          // 1: ports in TIME_WAIT may be used again after a second; 2: those of loopback (ip-sysctl).
          if (state === TIME_WAIT && (reuse === '1' || (reuse === '2' && group.isLoopback))) continue;
          group.used++;
        }
      }
    }
  }
}

/** A line of /proc/net/tcp: number, local address and port, remote address with port, state. */
const CONNECTION = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+:[0-9A-F]{4}) ([0-9A-F]{2}) /gm;

/** "0100007F:1F90": words of 32 bits in the machine's order, then the port. */
function asInProc(address: Address & { kind: 'ip' }): string {
  const bytes = new Uint8Array(SOCKADDR_BYTES_MAX);
  encodeAddress(address, bytes, 0);
  const [at, words] = address.host.includes(':') ? [8, 4] : [4, 1];
  const view = new DataView(bytes.buffer);
  let text = '';
  for (let i = 0; i < words; i++) text += hex(view.getUint32(at + 4 * i, true), 8);
  return `${text}:${hex(address.port, 4)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}

function portsIn(text: string): [number, number] | null {
  const [low, high] = text.trim().split(/\s+/).map(Number);
  return low! <= high! ? [low!, high!] : null;
}

/** Of "8080,9148-9150" so many lie in the range. */
function countReserved(text: string, [low, high]: readonly [number, number]): number {
  let count = 0;
  for (const part of text.trim().split(',').filter(Boolean)) {
    const [first, last = first] = part.split('-').map(Number);
    count += Math.max(0, Math.min(high, last!) - Math.max(low, first!) + 1);
  }
  return count;
}
