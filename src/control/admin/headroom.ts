/**
 * Headroom: how much is used of what an instance can run out of: descriptors, clients, TLS handshakes, local ports. It is told before it is gone: once when a ratio
 * reaches LOW_RATIO, with what to do about it, and once when it is back below WELL_RATIO.
 *
 * When it is gone: new connections are refused with a reason and counted; those that are established go on.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { clientsMaxOf, sessionsMaxOf } from '../../state/client-share.ts';
import { protocol, rejection } from '../../state/doors.ts';
import type { Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';
import type { WorkerState } from './control-state.ts';
import { LocalPorts, type PortUse } from './local-ports.ts';

export const LOOK_MS = 5000;
const LOW_RATIO = 0.8;
const WELL_RATIO = 0.7;
/** fs.nr_open, by default: no process opens more. */
const NR_OPEN = 1_048_576;

export interface HeadroomParts {
  tally: Tally;
  events: Pick<EventLog, 'info' | 'warn'>;
  plan: () => Plan | null;
  workers: () => readonly WorkerState[];
  ports?: Pick<LocalPorts, 'look' | 'uses'>;
}

/** TLS handshakes under way at a listener, of those all workers let be. */
export interface HandshakeUse {
  readonly listener: string;
  readonly used: number;
  readonly of: number;
  /** For lack of a place, since the look before. */
  readonly turnedAway: number;
}

export class Headroom {
  /** Of the process that has the fewest left. 0..1, like the others. */
  descriptorsRatio = 0;
  /** Of what all workers take. */
  clientsRatio = 0;
  /** Clients of datagrams, of what all workers remember. */
  sessionsRatio = 0;
  /** Of listeners that limit them. */
  handshakes: readonly HandshakeUse[] = [];
  private readonly parts: HeadroomParts;
  private readonly localPorts: Pick<LocalPorts, 'look' | 'uses'>;
  /** What has been told to be low. */
  private low = new Set<string>();
  /** Handshakes turned away until the last look, by listener id. */
  private turnedAway = new Map<number, number>();
  private timer: NodeJS.Timeout | null = null;

  constructor(parts: HeadroomParts) {
    this.parts = parts;
    this.localPorts = parts.ports ?? new LocalPorts(parts.tally, parts.plan);
  }

  /** By endpoint, the fullest first. */
  get ports(): readonly PortUse[] {
    return [...this.localPorts.uses].sort((a, b) => b.used / b.of - a.used / a.of);
  }

  start(): void {
    this.look();
    this.timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  look(): void {
    const stillLow = new Set<string>();
    this.lookAtDescriptors(stillLow);
    this.lookAtClients(stillLow);
    this.lookAtHandshakes(stillLow);
    this.lookAtPorts(stillLow);
    this.low = stillLow;
  }

  private lookAtPorts(stillLow: Set<string>): void {
    try {
      this.localPorts.look();
    } catch {
      // Without /proc there is nothing to see.
    }
    const { uses } = this.localPorts;
    // Most of ten thousand endpoints are far from any limit: no text is made for them.
    const isAnyLow = this.low.size > 0;
    for (let i = 0; i < uses.length; i++) {
      const { pool, endpoint, used, of } = uses[i]!;
      if (!isAnyLow && used < of * LOW_RATIO) continue;
      const what = `local ports towards ${endpoint}`;
      const fields = { pool, endpoint, used, of };
      this.tell(stillLow, `ports ${pool} ${endpoint}`, used / of, 'ports', what, PORTS_ADVICE, fields);
    }
  }

  private lookAtDescriptors(stillLow: Set<string>): void {
    let highest = 0;
    for (const { pid, slot } of [{ pid: process.pid, slot: -1 }, ...this.parts.workers()]) {
      const used = pid > 0 ? countDescriptors(pid) : 0;
      const of = used > 0 ? descriptorsMax(pid) : 0;
      if (of === 0) continue;
      highest = Math.max(highest, used / of);
      const who = slot < 0 ? 'the control process' : `worker ${slot}`;
      this.tell(stillLow, `descriptors ${slot}`, used / of, 'descriptors', `descriptors of ${who}`, DESCRIPTORS_ADVICE, {
        pid,
        used,
        of,
      });
    }
    this.descriptorsRatio = highest;
  }

  private lookAtClients(stillLow: Set<string>): void {
    const plan = this.parts.plan();
    const workers = this.parts.workers().length;
    if (plan === null || workers === 0) return;
    const descriptors = descriptorsMax(process.pid);
    let connections = 0;
    let sessions = 0;
    let remembered = 0;
    for (const { id, udp } of plan.listeners) {
      const counts = this.parts.tally.listener(id).connections;
      for (let i = 0; i < counts.length; i++) if (i !== protocol.udp) connections += counts[i]!;
      sessions += counts[protocol.udp]!;
      remembered += udp?.sessionsMax ?? 0;
    }
    const clientsMax = clientsMaxOf(plan, descriptors) * workers;
    this.clientsRatio = connections / clientsMax;
    this.tell(stillLow, 'clients', this.clientsRatio, 'clients', 'client connections', CLIENTS_ADVICE, {
      used: connections,
      of: clientsMax,
    });
    const sessionsMax = Math.min(remembered, sessionsMaxOf(plan, descriptors)) * workers;
    this.sessionsRatio = sessionsMax === 0 ? 0 : sessions / sessionsMax;
    this.tell(stillLow, 'sessions', this.sessionsRatio, 'sessions', 'clients of datagrams', SESSIONS_ADVICE, {
      used: sessions,
      of: sessionsMax,
    });
  }

  private lookAtHandshakes(stillLow: Set<string>): void {
    const workers = this.parts.workers().length;
    const uses: HandshakeUse[] = [];
    const turnedAway = new Map<number, number>();
    for (const { id, name: listener, tls } of this.parts.plan()?.listeners ?? []) {
      const of = (tls?.handshakesMax ?? 0) * workers;
      if (of === 0) continue;
      const { handshakesNow: used, rejected } = this.parts.tally.listener(id);
      const until = rejected[rejection.handshakes]!;
      const use = { listener, used, of, turnedAway: until - (this.turnedAway.get(id) ?? until) };
      turnedAway.set(id, until);
      uses.push(use);
      // A worker may be full while others are not, and a flood may be over by now: who was turned away says it.
      const ratio = use.turnedAway > 0 ? 1 : used / of;
      this.tell(stillLow, `handshakes ${id}`, ratio, 'handshakes', `TLS handshakes of listener ${listener}`, HANDSHAKES_ADVICE, {
        ...use,
      });
    }
    this.turnedAway = turnedAway;
    this.handshakes = uses;
  }

  private tell(
    stillLow: Set<string>,
    key: string,
    ratio: number,
    event: string,
    what: string,
    advice: string,
    fields: Record<string, string | number>,
  ): void {
    const wasLow = this.low.has(key);
    if (ratio >= (wasLow ? WELL_RATIO : LOW_RATIO)) stillLow.add(key);
    if (!wasLow && stillLow.has(key))
      this.parts.events.warn(`${event}_low`, `${what}: ${Math.round(ratio * 100)} % are in use; ${advice}`, fields);
    else if (wasLow && !stillLow.has(key)) this.parts.events.info(`${event}_well`, `${what}: enough are free again`, fields);
  }
}

const DESCRIPTORS_ADVICE = 'raise the limit (LimitNOFILE= of the service, ulimit -n) or add machines';
const CLIENTS_ADVICE = 'more are refused at the limit: raise it (process.connections, and with it LimitNOFILE=) or add machines';
const HANDSHAKES_ADVICE =
  'more are turned away: if few addresses hold them, lower limits.connectionsPerIp; if clients are many, raise limits.handshakes (60 KB each) or add workers';
const SESSIONS_ADVICE =
  'then whenFull of the listener decides: forget clients sooner (udp: { idle: … }), or raise sessions, and with it LimitNOFILE=';
const PORTS_ADVICE =
  'give the pool more source addresses (source: { addresses: … }), let connections be kept, or widen net.ipv4.ip_local_port_range';

/** Open descriptors of a process; 0: it is gone. */
export function countDescriptors(pid: number): number {
  try {
    // The size of the folder is their number since Linux 6.2; before, it is 0 and they are counted one by one.
    return statSync(`/proc/${pid}/fd`).size || readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** The limit of a process; 0: not known. */
export function descriptorsMax(pid: number): number {
  try {
    const [, limit = '0'] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1')) ?? [];
    return limit === 'unlimited' ? NR_OPEN : Number(limit);
  } catch {
    return 0;
  }
}
