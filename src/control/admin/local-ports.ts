/**
 * LocalPorts: how many of the ports that this machine has for connecting to an endpoint are in use.
 *
 * A connection is told from others by four numbers. Towards one endpoint (address and port) from one source address only the local port is left: that is
 * the whole of net.ipv4.ip_local_port_range, 28,232 by default (ip-sysctl, Linux), for all workers, and for connections that are closed and still
 * remembered (TIME_WAIT, 60 s) unless the kernel may use their ports again (net.ipv4.tcp_tw_reuse).
 *
 * Rules
 * 1. Counting is cheap as long as there is nothing to fear: weir's own connections, from the state table.
 * 2. The kernel's list of connections is asked when those, and what weir has connected in the last minute, may be half of what there is. Where
 *    other programs' TIME_WAIT could make it half, once in OTHERS_MS: they may use the same ports. What it said stands until then.
 * 3. Sessions of UDP each take a port of their own of the source address, whatever the endpoint: their pools share one count.
 * 4. From the client's own address (transparent) each client has ports of its own: nothing to count.
 */
import { readFileSync } from 'node:fs';
import type { Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import { TCP_CLOSE, TCP_LISTEN, TCP_TIME_WAIT } from '../../sys/constants.generated.ts';
import { parsePortRange } from '../../sys/local-port-range.ts';
import { addressWords, type DiagSocket, listTcp } from '../../sys/socket-diag.ts';
import { type AddressKey, addressKey, ConnectHistory, type PortGroup, type PortUse, portGroups } from './port-groups.ts';

export type { PortUse } from './port-groups.ts';

/** Share of the ports from which on they are counted exactly. */
const EXACT_RATIO = 0.5;
/** TCP_TIMEWAIT_LEN (include/net/tcp.h). */
const TIME_WAIT_MS = 60_000;
const OTHERS_MS = 60_000;
/** States that hold a port, those of linux/tcp_states.h up to 11. */
const HOLDING = 0xffe & ~((1 << TCP_CLOSE) | (1 << TCP_LISTEN));

export interface LocalPortsParts {
  /** Text of a file in /proc. */
  read?: (path: string) => string;
  list?: typeof listTcp;
  /** ms of a clock that never goes back. */
  clock?: () => number;
}

export class LocalPorts {
  /** As of the last look, one row per endpoint. */
  uses: readonly PortUse[] = [];
  private readonly tally: Pick<Tally, 'portsHeld' | 'connectsMade'>;
  private readonly plan: () => Plan | null;
  private readonly read: NonNullable<LocalPortsParts['read']>;
  private readonly list: typeof listTcp;
  private readonly clock: () => number;
  private groups: PortGroup[] = [];
  /** What the groups were made of. */
  private madeOf: readonly unknown[] = [];
  private low = 0;
  private high = -1;

  constructor(tally: LocalPorts['tally'], plan: () => Plan | null, parts: LocalPortsParts = {}) {
    this.tally = tally;
    this.plan = plan;
    this.read = parts.read ?? ((path) => readFileSync(path, 'latin1'));
    this.list = parts.list ?? listTcp;
    this.clock = parts.clock ?? (() => performance.now());
  }

  /** Throws when /proc cannot be read. */
  look(): void {
    const { tally, read } = this;
    this.regroup();
    const timeWait = Number(/^TCP:.* tw (\d+)/m.exec(read('/proc/net/sockstat'))?.[1] ?? 0);
    // Ports in TIME_WAIT may be used again after a second: 1, all; 2, those of loopback (ip-sysctl).
    const reuse = read('/proc/sys/net/ipv4/tcp_tw_reuse').trim();
    const near: PortGroup[] = [];
    for (const group of this.groups) {
      const { use, slots } = group;
      let held = 0;
      for (let i = 0; i < slots.length; i++) held += tally.portsHeld(slots[i]!);
      use.used = held;
      if (group.remote === null) continue;
      if (held + (isRemembered(group, reuse) ? timeWait : 0) >= use.of * EXACT_RATIO) near.push(group);
      else group.counted = 0;
    }
    if (near.length > 0) this.lookCloser(near, reuse);
  }

  private lookCloser(near: readonly PortGroup[], reuse: string): void {
    const now = this.clock();
    const due = near.filter((group) => {
      const { use, counted, countedAt } = group;
      const held = use.used;
      const lately = isRemembered(group, reuse) ? this.madeLately(group, now) : 0;
      // What was counted may be others'.
      use.used = Math.max(held, counted);
      return Math.max(counted, held + lately) >= use.of * EXACT_RATIO || now - countedAt >= OTHERS_MS;
    });
    for (const isV6 of [false, true]) {
      const its = due.filter((group) => group.isV6 === isV6);
      if (its.length > 0) this.count(its, isV6, reuse, now);
    }
  }

  /** Connections made within the time that a closed one is remembered; more where that is not known. */
  private madeLately(group: PortGroup, now: number): number {
    let made = 0;
    for (const slot of group.slots) made += this.tally.connectsMade(slot);
    group.made ??= new ConnectHistory(TIME_WAIT_MS);
    return group.made.growth(now, made);
  }

  /** Counts connections of the whole network namespace. A kernel that does not tell leaves what is known. */
  private count(groups: readonly PortGroup[], isV6: boolean, reuse: string, now: number): void {
    const byRemote = new Map<AddressKey, PortGroup[]>();
    const remotePorts = new Set<number>();
    let states = HOLDING & ~(1 << TCP_TIME_WAIT);
    for (const group of groups) {
      const { host, port } = group.remote!;
      const key = addressKey(addressWords(host), isV6, port);
      const same = byRemote.get(key);
      if (same === undefined) byRemote.set(key, [group]);
      else same.push(group);
      remotePorts.add(port);
      if (isRemembered(group, reuse)) states = HOLDING;
      group.counted = 0;
      group.countedAt = now;
    }
    const visit = ({ state, localPort, remotePort, local, remote }: DiagSocket): void => {
      if (localPort < this.low || localPort > this.high) return;
      for (const group of byRemote.get(addressKey(remote, isV6, remotePort)) ?? []) {
        if (group.sources.size > 0 && !group.sources.has(addressKey(local, isV6, 0))) continue;
        if (state !== TCP_TIME_WAIT || isRemembered(group, reuse)) group.counted++;
      }
    };
    const found = this.list({ isV6, states, remotePorts: [...remotePorts] }, visit);
    if (found >= 0) for (const { use, counted } of groups) use.used = counted;
  }

  private regroup(): void {
    const madeOf = [
      this.plan(),
      this.read('/proc/sys/net/ipv4/ip_local_port_range'),
      this.read('/proc/sys/net/ipv4/ip_local_reserved_ports'),
    ] as const;
    if (madeOf.every((part, i) => part === this.madeOf[i])) return;
    const [plan, range, reserved] = madeOf;
    [this.low, this.high] = parsePortRange(range);
    const portCount = this.high - this.low + 1 - countReserved(reserved, this.low, this.high);
    this.groups = portCount > 0 ? portGroups(plan, portCount) : [];
    this.uses = this.groups.map(({ use }) => use);
    this.madeOf = madeOf;
  }
}

/** Does a closed connection of this group keep its port for a minute? */
function isRemembered({ isLoopback }: PortGroup, reuse: string): boolean {
  return reuse !== '1' && !(reuse === '2' && isLoopback);
}

/** Of "8080,9148-9150" so many lie in the range. */
function countReserved(text: string, low: number, high: number): number {
  let count = 0;
  for (const part of text.trim().split(',').filter(Boolean)) {
    const [first, last = first] = part.split('-').map(Number);
    count += Math.max(0, Math.min(high, last!) - Math.max(low, first!) + 1);
  }
  return count;
}
