/**
 * Preface: the first bytes of a connection, on listeners that have to look at them before they know what it is and whose.
 *
 *     accepted --PROXY line--> named --first bytes--> http, or a stream by its names
 *         |                      |           '------> handshake --over--> http, or a stream that asks for no name
 *         |                      |                        '-- failed: alert; late, or no place left: reset
 *         '-- bad, late: reset   '-- bad hello: reset; silent: the stream that matches all
 *
 * Rules
 * 1. A PROXY line is believed of peers in `proxyProtocol.from` only. From others a required one is refused unread, and an optional one is not looked for: it
 *    is part of the connection, and no codec takes it for anything.
 * 2. What was read stays in one block and goes on with the connection, the line taken off.
 * 3. Nothing is answered: who cannot be understood here speaks no protocol that is known.
 */
import { NO_BLOCK } from '../base/blocks.ts';
import { Carry } from '../base/carry.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { closeHow, type TimerOwner, type Wire } from '../base/wire.ts';
import { BAD as BAD_HELLO, ClientHelloReader, MORE as MORE_HELLO } from '../protocol/client-hello/client-hello.ts';
import { BAD, MORE, NOT_THERE, ProxyLineReader } from '../protocol/proxy-line/proxy-line.ts';
import { handshakeResult, rejection } from '../state/doors.ts';
import type { HandshakeOwner, TlsWire } from '../tls/tls.ts';
import type { ClientConnection } from './client-connection.ts';
import { looksLikeHttp, plainAnswer } from './first-bytes.ts';
import type { Handshake } from './handshakes.ts';
import type { Listener } from './listener.ts';
import type { ListenParts } from './parts.ts';
import type { PrefaceNeeds } from './preface-needs.ts';
import type { StreamOrigin } from './stream-connection.ts';

/** Descriptions of alerts (RFC 8446 §6). */
const alert = Object.freeze({ decodeError: 50, unrecognizedName: 112 });

/** For the PROXY line, whatever the listener's own patience (threats: at most 3 s). */
const LINE_MS = 3000;

// One each: a connection is read within one call.
const lineReader = new ProxyLineReader();
const helloReader = new ClientHelloReader();
const NO_NAMES: readonly string[] = [];

export class Preface implements HandshakeOwner, TimerOwner, ClientConnection, StreamOrigin, Handshake {
  readonly address = new ClientAddress();
  readonly peer = new ClientAddress();
  readonly destination = new ClientAddress();
  readonly startedMs: number;
  serverName = '';
  alpn = '';
  tls: TlsFacts | null = null;
  before: ClientConnection | null = null;
  after: ClientConnection | null = null;
  isIdle = false;
  older: ClientConnection | null = null;
  newer: ClientConnection | null = null;
  begunBefore: Handshake | null = null;
  begunAfter: Handshake | null = null;
  placedMs = 0;
  private wire: Wire;
  private readonly listener: Listener;
  private readonly parts: ListenParts;
  private readonly needs: PrefaceNeeds;
  private readonly carry: Carry;
  private wantsLine: boolean;
  private ticket = 0;
  private isOver = false;
  /** From the first byte of a hello that is to be answered here. */
  private isInHandshake = false;
  /** It is one of the listener's handshakes. */
  private hasPlace = false;
  /** When that byte came. */
  private helloMs = -1;

  constructor(wire: Wire, listener: Listener, parts: ListenParts, needs: PrefaceNeeds) {
    this.wire = wire;
    this.listener = listener;
    this.parts = parts;
    this.needs = needs;
    this.carry = new Carry(parts.blocks);
    this.startedMs = parts.engine.now;
    wire.readPeer(this.peer);
    this.address.copy(this.peer);
    this.wantsLine = needs.from?.has(this.peer) === true;
    wire.owner = this;
  }

  /** The peer speaks for many clients: the limit per address is for those it names. */
  get isTrusted(): boolean {
    return this.wantsLine;
  }

  begin(): void {
    if (this.needs.from !== null && this.needs.isRequired && !this.wantsLine) {
      this.refuse(rejection.proxyLine);
      return;
    }
    if (!this.wantsLine && !this.needs.sniffsHttp && !this.needs.sniffsTls) {
      this.hand('', NO_NAMES);
      return;
    }
    this.arm();
  }

  shed(): void {
    this.close(closeHow.reset);
  }
  cut(): void {
    this.close(closeHow.reset);
  }

  // The wire.

  /** The handshake is over. */
  onOpen(): void {
    const { listener, wire } = this;
    const tls = (this.tls = (wire as TlsWire).facts!);
    this.alpn = tls.alpn;
    this.isInHandshake = false;
    this.leavePlace();
    this.countHandshake(handshakeResult[`${tls.isResumed ? 'resumed' : 'full'}${tls.version === '1.3' ? 13 : 12}`]);
    this.served();
    // A name that leads to a stream was followed before anything was opened.
    if (listener.plan.protocol === 'tcp') listener.serveStream(wire, this, this.startedMs, '', NO_NAMES, NO_BLOCK, 0, 0);
    else listener.serveHttp(wire, this, NO_BLOCK, 0, 0);
  }
  onDrained(): void {}

  /** The wire ends by itself, once the alert is taken, or else by the deadline of the handshake. */
  onHandshakeFailed(): void {
    this.leavePlace();
    if (!this.isInHandshake) return;
    this.isInHandshake = false;
    this.isOver = true;
    this.parts.table.rejected(this.listener.plan.id, rejection.tls);
    this.countHandshake(handshakeResult.failed);
  }

  /** There is no place for its handshake, or another needs it. */
  giveWay(): void {
    this.parts.table.handshake(this.listener.plan.id, handshakeResult.limit, -1);
    this.refuse(rejection.handshakes);
  }

  onBytes(_wire: Wire, _block: number, start: number, end: number): void {
    if (this.isOver) return;
    if (this.carry.append(start, end) < end - start) {
      // A block is more than any preface takes.
      this.refuse(rejection.overload);
      return;
    }
    this.look();
  }

  onRecvEnd(): void {
    if (!this.isOver) this.close(closeHow.flush);
  }

  onClosed(): void {
    this.finish();
  }

  onTimer(): void {
    this.ticket = 0;
    if (this.isOver) {
      this.wire.close(closeHow.reset);
      return;
    }
    if (this.isInHandshake) {
      this.countHandshake(handshakeResult.timeout);
      this.refuse(rejection.tls);
      return;
    }
    // A client that waits for the server to speak first: it speaks neither HTTP nor TLS.
    if (this.wantsLine) this.refuse(rejection.proxyLine);
    else if (this.carry.isEmpty && !this.needsTls) this.hand('', NO_NAMES);
    else this.refuse(rejection.preface);
  }

  /** Whoever comes has to speak TLS. */
  private get needsTls(): boolean {
    return this.needs.opensTls && !this.needs.sniffsHttp;
  }

  private look(): void {
    const { carry } = this;
    const { bytes } = this.parts.blocks;
    if (this.wantsLine) {
      const read = lineReader.read(bytes, carry.start, carry.end, this.address, this.destination);
      if (read === MORE) return;
      if (read === BAD || (read === NOT_THERE && this.needs.isRequired)) {
        this.refuse(rejection.proxyLine);
        return;
      }
      this.wantsLine = false;
      if (read > 0) {
        carry.start += read;
        this.serverName = lineReader.authority;
        this.alpn = lineReader.alpn;
      }
      if (read === NOT_THERE || lineReader.isLocal) {
        this.address.copy(this.peer);
        this.destination.clear();
      }
      this.arm();
    }
    if (!this.needs.sniffsHttp && !this.needs.sniffsTls) {
      this.hand(this.serverName, this.alpn === '' ? NO_NAMES : [this.alpn]);
      return;
    }
    if (carry.start === carry.end) return;
    if (this.helloMs < 0) this.helloMs = this.parts.engine.now;
    const read = helloReader.read(bytes, carry.start, carry.end);
    this.isInHandshake = read === MORE_HELLO && this.needs.opensTls;
    if (read === MORE_HELLO) return;
    if (read === BAD_HELLO) {
      if (this.needs.opensTls) this.refuseHello(alert.decodeError, handshakeResult.failed);
      else this.refuse(rejection.preface);
      return;
    }
    if (read > 0) {
      this.serverName = helloReader.serverName;
      this.alpn = helloReader.alpn[0] ?? '';
      if (this.needs.opensTls && !this.isCarried()) this.openTls();
      else this.hand(this.serverName, helloReader.alpn);
    } else if (this.needsTls) {
      const http = looksLikeHttp(bytes, carry.start, carry.end);
      if (http > 0) this.refuseWith(plainAnswer, rejection.preface);
      else if (http < 0) this.refuse(rejection.preface);
    } else if (this.needs.sniffsHttp) {
      const http = looksLikeHttp(bytes, carry.start, carry.end);
      if (http > 0) this.handHttp();
      else if (http < 0) this.hand('', NO_NAMES);
    } else this.hand('', NO_NAMES);
  }

  /** A route takes it by its names, unopened. */
  private isCarried(): boolean {
    const { listener, parts } = this;
    return (
      listener.plan.protocol !== 'http' && parts.taker.carriesByName(listener, this.serverName, helloReader.alpn, this.address)
    );
  }

  private openTls(): void {
    const { carry, listener, parts, wire } = this;
    if (listener.tls === null) {
      // The plan under which it came had TLS; the one in force has none.
      this.refuse(rejection.preface);
      return;
    }
    const { now } = parts.engine;
    if (!listener.handshakes.hasRoom(listener.plan.tls!.handshakesMax, now)) {
      this.giveWay();
      return;
    }
    const tls = listener.tls.accept(wire, this, helloReader);
    if (tls === null) {
      this.refuseHello(alert.unrecognizedName, handshakeResult.refused);
      return;
    }
    this.wire = tls;
    this.isInHandshake = true;
    this.takePlace();
    this.stop();
    this.ticket = parts.engine.setTimer(this.helloMs + this.needs.handshakeMs - now, this, 0);
    // Its end may come within this call, and then another owns the wire.
    const { block } = carry;
    parts.blocks.retain(block);
    tls.onBytes(wire, block, carry.start, carry.end);
    parts.blocks.release(block);
    carry.clear();
  }

  private takePlace(): void {
    const { listener, parts } = this;
    this.hasPlace = true;
    listener.handshakes.join(this, parts.engine.now);
    parts.table.handshakesUnderWay(listener.plan.id, 1);
  }
  private leavePlace(): void {
    if (!this.hasPlace) return;
    this.hasPlace = false;
    this.listener.handshakes.leave(this);
    this.parts.table.handshakesUnderWay(this.listener.plan.id, -1);
  }

  private countHandshake(result: number): void {
    const { table, engine } = this.parts;
    table.handshake(this.listener.plan.id, result, engine.now - this.helloMs);
  }

  private refuseHello(description: number, result: number): void {
    this.parts.table.handshake(this.listener.plan.id, result, -1);
    this.refuseWith(Uint8Array.of(21, 3, 3, 0, 2, 2, description), rejection.tls);
  }

  /** Says why, in words that the peer understands. */
  private refuseWith(bytes: Uint8Array, reason: number): void {
    const { blocks, table } = this.parts;
    const block = blocks.takeSmall();
    if (block !== NO_BLOCK) {
      const start = blocks.start(block);
      blocks.bytes.set(bytes, start);
      this.wire.send(block, start, start + bytes.length);
      blocks.release(block);
    }
    table.rejected(this.listener.plan.id, reason);
    this.close(closeHow.linger);
  }

  private hand(serverName: string, alpn: readonly string[]): void {
    const { carry, listener } = this;
    if (listener.plan.protocol === 'http') {
      this.handHttp();
      return;
    }
    this.served();
    listener.serveStream(this.wire, this, this.startedMs, serverName, alpn, carry.block, carry.start, carry.end);
    carry.clear();
  }

  private handHttp(): void {
    const { carry } = this;
    this.served();
    this.listener.serveHttp(this.wire, this, carry.block, carry.start, carry.end);
    carry.clear();
  }

  /** The connection goes on as another object. */
  private served(): void {
    this.isOver = true;
    this.stop();
    this.listener.onPrefaceOver(this);
  }

  private refuse(reason: number): void {
    this.isInHandshake = false;
    this.parts.table.rejected(this.listener.plan.id, reason);
    this.close(closeHow.reset);
  }

  private close(how: number): void {
    if (this.isOver && how !== closeHow.reset) return;
    this.isOver = true;
    this.stop();
    this.leavePlace();
    this.carry.clear();
    this.wire.close(how);
  }

  private finish(): void {
    if (this.isInHandshake) {
      this.parts.table.rejected(this.listener.plan.id, rejection.tls);
      this.countHandshake(handshakeResult.failed);
    }
    this.isInHandshake = false;
    this.stop();
    this.leavePlace();
    this.carry.clear();
    this.listener.onPrefaceOver(this);
  }

  private arm(): void {
    this.stop();
    const ms = this.wantsLine ? LINE_MS : this.needsTls ? this.needs.handshakeMs : this.listener.plan.sniffMs;
    this.ticket = this.parts.engine.setTimer(ms, this, 0);
  }
  private stop(): void {
    if (this.ticket !== 0) this.parts.engine.cancelTimer(this.ticket);
    this.ticket = 0;
  }
}
