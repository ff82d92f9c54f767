/**
 * One listener of the plan in one worker: its sockets, its limits, the connections it took. It belongs to the listener's name, so a reload that keeps the name
 * keeps the object and its connections; only `plan` and `index` change.
 */
import { AddressCounts } from '../base/address-counts.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import { type AcceptOwner, type Acceptor, closeHow, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import type { Http1Limits } from '../protocol/http1/http1.ts';
import { protocol, rejection } from '../state/doors.ts';
import type { ListenerPlan } from '../state/plan.ts';
import type { ServerTls } from '../tls/tls.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Clients } from './clients.ts';
import { ConnectionKit } from './connection-kit.ts';
import { Handshakes } from './handshakes.ts';
import { Http1ClientConnection } from './http1-connection.ts';
import type { ListenParts } from './parts.ts';
import { Preface } from './preface.ts';
import { type PrefaceNeeds, prefaceNeeds } from './preface-needs.ts';
import { StreamConnection, type StreamOrigin } from './stream-connection.ts';

/** When the kernel has no descriptor or memory left, accepting rests this long. */
const ACCEPT_REST_MS = 100;
/** Kits kept for the next connections. */
const KITS_KEPT_MAX = 256;
/** Idle connections closed when it has none left, so that others can be served. */
const SHED_COUNT = 16;

const NO_NAMES: readonly string[] = [];
/** Owner of a wire that is turned away, or whose taker has not come yet. */
const nobody: WireOwner = { onOpen() {}, onBytes() {}, onRecvEnd() {}, onDrained() {}, onClosed() {} };

export class Listener implements AcceptOwner, TimerOwner {
  plan: ListenerPlan;
  /** In plan.listeners of the plan in force; -1 when it left the plan: its connections finish. */
  index: number;
  limits: Http1Limits;
  connections = 0;
  /** Of them, how many each address has. */
  readonly addresses: AddressCounts;
  /** Peers that speak for many clients: the limit per address is not for them. */
  private trusted: CidrSet;
  private needs: PrefaceNeeds | null;
  /** How TLS is opened; null: it is not. Held: a plan that is not in force any more has given it up. */
  tls: ServerTls | null = null;
  readonly handshakes = new Handshakes();

  private readonly parts: ListenParts;
  private readonly clients: Clients;
  private acceptors: { fd: number; acceptor: Acceptor }[] = [];
  private resting: Acceptor[] = [];
  private readonly kits: ConnectionKit[] = [];

  constructor(plan: ListenerPlan, index: number, parts: ListenParts, clients: Clients, tls: ServerTls | null) {
    this.plan = plan;
    this.index = index;
    this.limits = plan.limits;
    this.trusted = new CidrSet(plan.clientIp.trust);
    this.needs = prefaceNeeds(plan);
    this.parts = parts;
    this.clients = clients;
    this.addresses = new AddressCounts(clients.seed);
    this.useTls(tls);
  }

  update(plan: ListenerPlan, index: number, tls: ServerTls | null): void {
    this.plan = plan;
    this.useTls(tls);
    this.limits = plan.limits;
    this.trusted = new CidrSet(plan.clientIp.trust);
    this.needs = prefaceNeeds(plan);
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

  /** It left the plan, and its sockets are gone: who has not begun a handshake does not begin one. */
  forgetTls(): void {
    this.useTls(null);
  }

  private useTls(tls: ServerTls | null): void {
    tls?.hold();
    this.tls?.close();
    this.tls = tls;
  }

  stop(): void {
    for (const { acceptor } of this.acceptors) acceptor.close();
    this.acceptors = [];
  }

  onAccept(wire: Wire): void {
    const { needs, parts } = this;
    if (needs !== null) {
      const preface = new Preface(wire, this, parts, needs);
      if (this.admit(preface, preface.isTrusted)) preface.begin();
      else {
        // It was not counted, so its end must not be.
        wire.owner = nobody;
        wire.close(closeHow.reset);
      }
    } else if (this.plan.protocol === 'tcp') this.serveStream(wire, null, parts.engine.now, '', NO_NAMES, NO_BLOCK, 0, 0);
    else this.serveHttp(wire, null, NO_BLOCK, 0, 0);
  }

  /** Serves requests on a connection. `from`: what its preface told. bytes[start, end) of the block came already, NO_BLOCK: none did. */
  serveHttp(wire: Wire, from: StreamOrigin | null, block: number, start: number, end: number): void {
    const { parts } = this;
    const kit = this.kits.pop() ?? new ConnectionKit(this.limits, parts);
    const connection = new Http1ClientConnection(wire, this, parts, this.clients, kit, from);
    if (!this.admit(connection, false)) {
      connection.turnAway(closeHow.reset);
      return;
    }
    parts.table.connection(this.plan.id, protocol.http1, 1);
    connection.begin();
    if (block !== NO_BLOCK) connection.onBytes(wire, block, start, end);
  }

  /** Carries a connection as it is. */
  serveStream(
    wire: Wire,
    from: StreamOrigin | null,
    startedMs: number,
    serverName: string,
    alpn: readonly string[],
    block: number,
    start: number,
    end: number,
  ): void {
    const connection = new StreamConnection(wire, this, startedMs, from);
    wire.owner = nobody;
    if (!this.admit(connection, false)) {
      wire.close(closeHow.reset);
      return;
    }
    this.parts.table.connection(this.plan.id, protocol.tcp, 1);
    this.parts.taker.onStream(connection, this, serverName, alpn, block, start, end);
  }

  /** May it be served? It is counted then, and listed. */
  private admit(connection: ClientConnection, isExempt: boolean): boolean {
    const { clients, plan } = this;
    const { connectionsMax, connectionsPerIpMax } = plan.limits;
    if (clients.isDraining) return this.reject(rejection.drain);
    if (connectionsMax > 0 && this.connections >= connectionsMax) return this.reject(rejection.limit);
    // At the cap the longest idle makes room; where none is idle the new one is turned away.
    if (clients.isFull && !clients.shedOldest()) return this.reject(rejection.overload);
    const perIpMax = isExempt || this.trusted.has(connection.address) ? 0 : connectionsPerIpMax;
    if (!this.addresses.add(connection.address, perIpMax)) return this.reject(rejection.perIp);
    this.connections++;
    clients.join(connection);
    return true;
  }

  private reject(reason: number): false {
    this.parts.table.rejected(this.plan.id, reason);
    return false;
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
    this.leftBy(connection, connection.address);
    this.parts.table.connection(this.plan.id, protocol.http1, -1);
  }
  onStreamOver(connection: StreamConnection): void {
    this.leftBy(connection, connection.address);
    const { table } = this.parts;
    table.connection(this.plan.id, protocol.tcp, -1);
    table.wireBytes(this.plan.id, connection.wire.received, connection.wire.sent);
  }
  /** A preface goes on as a connection of its kind, or is gone. It was counted before a PROXY line named the client: for its peer. */
  onPrefaceOver(preface: Preface): void {
    this.leftBy(preface, preface.peer);
  }

  private leftBy(connection: ClientConnection, address: ClientAddress): void {
    this.connections--;
    this.addresses.remove(address);
    this.clients.leave(connection);
  }

  /** A connection is closed for good and uses its kit no more. */
  takeBack(kit: ConnectionKit): void {
    if (kit.limits === this.limits && this.kits.length < KITS_KEPT_MAX) this.kits.push(kit);
  }
}
