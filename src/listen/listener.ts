/**
 * One listener of the plan in one worker: its sockets, its limits, the connections it took. It belongs to the listener's name, so a reload that keeps the name
 * keeps the object and its connections; only `plan` and `index` change.
 */
import { CidrSet } from '../base/client-address.ts';
import { type AcceptOwner, type Acceptor, closeHow, type TimerOwner, type Wire } from '../base/wire.ts';
import type { Http1Limits } from '../protocol/http1/http1.ts';
import { protocol, rejection } from '../state/doors.ts';
import type { ListenerPlan } from '../state/plan.ts';
import type { Clients } from './clients.ts';
import { ConnectionKit, Http1ClientConnection } from './http1-connection.ts';
import type { ListenParts } from './parts.ts';

/** When the kernel has no descriptor or memory left, accepting rests this long. */
const ACCEPT_REST_MS = 100;
/** Kits kept for the next connections. */
const KITS_KEPT_MAX = 256;
/** Idle connections closed when it has none left, so that others can be served. */
const SHED_COUNT = 16;

export class Listener implements AcceptOwner, TimerOwner {
  plan: ListenerPlan;
  /** In plan.listeners of the plan in force; -1 when it left the plan: its connections finish. */
  index: number;
  limits: Http1Limits;
  connections = 0;
  /** Peers that speak for many clients: the limit per address is not for them. */
  private trusted: CidrSet;

  private readonly parts: ListenParts;
  private readonly clients: Clients;
  private acceptors: { fd: number; acceptor: Acceptor }[] = [];
  private resting: Acceptor[] = [];
  private readonly kits: ConnectionKit[] = [];

  constructor(plan: ListenerPlan, index: number, parts: ListenParts, clients: Clients) {
    this.plan = plan;
    this.index = index;
    this.limits = plan.limits;
    this.trusted = new CidrSet(plan.clientIp.trust);
    this.parts = parts;
    this.clients = clients;
  }

  update(plan: ListenerPlan, index: number): void {
    this.plan = plan;
    this.limits = plan.limits;
    this.trusted = new CidrSet(plan.clientIp.trust);
    this.kits.length = 0;
    this.index = index;
  }

  /** Accepts on these sockets too. */
  serve(sockets: readonly { fd: number }[]): void {
    const have = new Set(this.acceptors.map((a) => a.fd));
    for (const { fd } of sockets) if (!have.has(fd)) this.acceptors.push({ fd, acceptor: this.parts.engine.accept(fd, this) });
  }

  /** These sockets are about to be closed. */
  leave(fds: ReadonlySet<number>): void {
    for (const { fd, acceptor } of this.acceptors) if (fds.has(fd)) acceptor.close();
    this.acceptors = this.acceptors.filter((a) => !fds.has(a.fd));
  }

  stop(): void {
    for (const { acceptor } of this.acceptors) acceptor.close();
    this.acceptors = [];
  }

  onAccept(wire: Wire): void {
    const { clients, parts, plan } = this;
    const kit = this.kits.pop() ?? new ConnectionKit(this.limits, parts);
    const connection = new Http1ClientConnection(wire, this, parts, clients, kit);
    if (clients.isDraining) return this.turnAway(connection, rejection.drain);
    const { connectionsMax, connectionsPerIpMax } = plan.limits;
    if (connectionsMax > 0 && this.connections >= connectionsMax) return this.turnAway(connection, rejection.limit);
    // At the cap the longest idle makes room; where none is idle the new one is turned away.
    if (clients.isFull && !clients.shedOldest()) return this.turnAway(connection, rejection.overload);
    const perIpMax = this.trusted.has(connection.address) ? 0 : connectionsPerIpMax;
    if (!clients.admit(connection.address, perIpMax)) return this.turnAway(connection, rejection.perIp);
    this.connections++;
    clients.join(connection);
    parts.table.connection(plan.id, protocol.http1, 1);
    connection.begin();
  }

  onAcceptFault(_errno: number, acceptor: Acceptor): void {
    this.parts.table.rejected(this.plan.id, rejection.overload);
    for (let i = 0; i < SHED_COUNT && this.clients.shedOldest(); i++);
    if (this.resting.length === 0) this.parts.engine.setTimer(ACCEPT_REST_MS, this, 0);
    if (!this.resting.includes(acceptor)) this.resting.push(acceptor);
  }

  onTimer(): void {
    const { resting } = this;
    this.resting = [];
    for (const acceptor of resting) if (this.acceptors.some((a) => a.acceptor === acceptor)) acceptor.resume();
  }

  /** A connection that was admitted is gone. */
  onGone(connection: Http1ClientConnection): void {
    this.connections--;
    this.clients.leave(connection);
    this.parts.table.connection(this.plan.id, protocol.http1, -1);
  }

  /** A connection is closed for good and uses its kit no more. */
  takeBack(kit: ConnectionKit): void {
    if (kit.limits === this.limits && this.kits.length < KITS_KEPT_MAX) this.kits.push(kit);
  }

  private turnAway(connection: Http1ClientConnection, reason: number): void {
    this.parts.table.rejected(this.plan.id, reason);
    connection.turnAway(closeHow.reset);
  }
}
