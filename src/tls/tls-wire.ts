/**
 * tls-wire: a Wire that is plain on this side and TLS on the other, around the wire of a socket.
 *
 *     handshake --Finished--> open --close(flush|linger)--> closing --inner wire closed--> closed
 *         |                     |                              ^
 *         '-- failed: alert ----'-- alert, cut off, no block --'
 *
 * Rules
 * 1. It keeps every promise of base/wire.ts. onOpen comes when the handshake is over; before, nothing is told but onClosed.
 * 2. An end of stream that TLS did not announce (close_notify) may be an attacker's: it is told as a broken connection, ECONNRESET (RFC 8446 §6.1).
 * 3. What is paused in the middle of received bytes keeps their block; resume() goes on at the end of the turn.
 * 4. `received`, `sent` and `queued` count the bytes of the socket, but for those that wait for the end of the turn.
 */
import { NO_BLOCK, SMALL_BYTES } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import type { SoonTask } from '../base/soon.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { closeHow, type Wire, type WireOwner } from '../base/wire.ts';
import { ECONNRESET, ENOBUFS, EPROTO } from '../sys/constants.generated.ts';
import {
  BIO_up_ref,
  cipherName,
  ERR_clear_error,
  SSL_do_handshake,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  SSL_free,
  SSL_get_current_cipher,
  SSL_get_error,
  SSL_read,
  SSL_session_reused,
  SSL_set_bio,
  SSL_shutdown,
  SSL_version,
  TLS1_3,
  takeErrorText,
} from '../sys/openssl.ts';
import type { ServerContext } from './server-context.ts';
import type { TlsLoop } from './tls-loop.ts';

const phase = Object.freeze({ handshake: 0, open: 1, closing: 2, closed: 3 });
/**
 * What TLS itself answers to a peer that takes nothing, each answer in a block of its own: more ends the connection. Some 38 requests for new keys (RFC 8446 §4.6.3; 32
 * in a row are BoringSSL's limit) or attempts to renegotiate; a peer asks once for many gigabytes.
 */
const ANSWER_BYTES_MAX = 1024;

/** What the client hello said, and was decided of it. */
export interface Greeting {
  readonly context: ServerContext;
  /** Of TlsLoop.protocolOf, NO_PROTOCOL or REFUSED_PROTOCOL. */
  readonly protocol: number;
  readonly alpn: string;
  readonly serverName: string;
  /** Of TicketKeys.find. */
  readonly ticketKey: number;
}

/** Who begins a handshake hears at once that it failed; the end of the wire comes later. */
export interface HandshakeOwner extends WireOwner {
  onHandshakeFailed(): void;
}

export class TlsWire implements Wire, WireOwner, SoonTask {
  owner: WireOwner;
  readonly inner: Wire;
  /** 0n once the wire is closing. */
  ssl: bigint;
  /** Null during the handshake. */
  facts: TlsFacts | null = null;
  /** What OpenSSL says was wrong; ''. */
  failure = '';

  private readonly loop: TlsLoop;
  private readonly greeting: Greeting;
  /** Null once the handshake is over. */
  private beginner: HandshakeOwner | null;
  private phase: number = phase.handshake;
  /** Of TicketKeys.find, until it was used. */
  private ticketKey: number;
  private errno = 0;
  private isPaused = false;
  private hasFin = false;
  /** The peer's close_notify came; told, or kept until resume(). */
  private hasEnded = false;
  private isEndKept = false;
  /** OpenSSL has plaintext of a record that was begun. */
  private isUnfinished = false;
  private isDueSoon = false;
  /** Answers of TLS itself since nothing was queued. */
  private answerBytes = 0;
  // Received and not yet opened, held.
  private keptBlock = NO_BLOCK;
  private keptStart = 0;
  private keptEnd = 0;

  /** Takes over `inner`, and `ssl`, which knows its side; with 0n, for which there was no memory, the handshake fails. */
  constructor(loop: TlsLoop, inner: Wire, owner: HandshakeOwner, ssl: bigint, greeting: Greeting) {
    this.loop = loop;
    this.inner = inner;
    this.owner = this.beginner = owner;
    this.greeting = greeting;
    this.ticketKey = greeting.ticketKey;
    this.ssl = ssl;
    if (ssl !== 0n) {
      const { read, write } = loop.bios;
      BIO_up_ref(read);
      BIO_up_ref(write);
      SSL_set_bio(ssl, read, write);
    }
    inner.owner = this;
  }

  get queued(): number {
    return this.inner.queued + this.loop.gatheredOf(this);
  }
  get received(): number {
    return this.inner.received;
  }
  get sent(): number {
    return this.inner.sent;
  }
  get pouredMs(): number {
    return 0;
  }
  get drainBelow(): number {
    return this.inner.drainBelow;
  }
  set drainBelow(bytes: number) {
    this.inner.drainBelow = bytes;
  }
  get isOpen(): boolean {
    return this.phase === phase.open && this.inner.isOpen;
  }
  get hasUnread(): boolean {
    return this.inner.hasUnread || this.keptBlock !== NO_BLOCK || this.isUnfinished || this.hasEnded;
  }

  send(_block: number, start: number, end: number): void {
    if (this.phase !== phase.open || this.hasFin || start >= end) return;
    if (!this.loop.write(this, start, end)) this.writeFailed();
  }

  pourInto(): void {
    // Nothing passes unseen: it has to be opened.
  }

  pause(): void {
    this.isPaused = true;
    this.inner.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.keptBlock === NO_BLOCK && !this.isUnfinished && !this.isEndKept) this.inner.resume();
    else if (!this.isDueSoon) {
      this.isDueSoon = true;
      this.loop.engine.soon(this);
    }
  }

  sendClose(): void {
    if (this.phase !== phase.open || this.hasFin) return;
    this.sayGoodbye();
    this.inner.sendClose();
  }

  close(how: number): void {
    if (this.phase >= phase.closing) {
      if (how === closeHow.reset) this.inner.close(how);
      return;
    }
    if (how !== closeHow.reset && this.phase === phase.open && this.inner.isOpen) this.sayGoodbye();
    this.shut(how);
  }

  readPeer(into: ClientAddress): void {
    this.inner.readPeer(into);
  }
  local(): string {
    return this.inner.local();
  }

  /** The loop could not encrypt what was to be sent: the stream has a hole, and ends. */
  writeFailed(): void {
    if (this.phase !== phase.open) return;
    this.failure = takeErrorText();
    this.errno = this.failure === '' ? ENOBUFS : EPROTO;
    this.shut(closeHow.reset);
  }

  // The wire of the socket (WireOwner).

  /** A wire that was dialled: the client speaks first. */
  onOpen(): void {
    this.loop.bios.feed(this.loop.base, 0);
    this.shake();
  }

  onBytes(_inner: Wire, block: number, start: number, end: number): void {
    if (this.phase >= phase.closing || this.hasEnded) return;
    this.open(block, start, end);
  }

  onRecvEnd(): void {
    // An end that was announced; the socket's wire closes when our own end has been sent.
    if (this.phase >= phase.closing || this.hasEnded) return;
    this.errno = ECONNRESET;
    if (this.phase === phase.open && this.inner.isOpen) this.sayGoodbye();
    this.shut(closeHow.flush);
  }

  onDrained(): void {
    this.owner.onDrained(this);
  }

  onClosed(_inner: Wire, errno: number): void {
    this.release();
    this.phase = phase.closed;
    this.owner.onClosed(this, this.errno !== 0 ? this.errno : errno);
  }

  /** After resume(): what was kept. */
  onSoon(): void {
    this.isDueSoon = false;
    if (this.phase !== phase.open || this.isPaused) return;
    const { keptBlock, keptStart, keptEnd } = this;
    if (keptBlock !== NO_BLOCK || this.isUnfinished) {
      this.keptBlock = NO_BLOCK;
      this.open(keptBlock, keptStart, keptBlock === NO_BLOCK ? keptStart : keptEnd);
      if (keptBlock !== NO_BLOCK) this.loop.blocks.release(keptBlock);
    }
    // What was told may have paused or closed the wire.
    if (this.phase !== phase.open || this.isPaused) return;
    if (this.isEndKept) {
      this.isEndKept = false;
      this.owner.onRecvEnd(this);
    }
    if (this.phase === phase.open && !this.isPaused) this.inner.resume();
  }

  private open(block: number, start: number, end: number): void {
    const { loop } = this;
    loop.bios.feed(loop.base + start, end - start);
    if (this.phase === phase.handshake && !this.shake()) return;
    if (loop.bios.unread > 0 || this.isUnfinished) this.read(block, end);
  }

  /** A step of the handshake; true when it is over and well. */
  private shake(): boolean {
    const { loop, greeting, ssl } = this;
    if (ssl === 0n || !loop.openOut()) {
      this.breakOff(ENOBUFS, closeHow.reset);
      return false;
    }
    const { tickets } = loop;
    loop.protocol = greeting.protocol;
    // An older key opens the ticket in the hello, which is whole in the first step. New tickets, in a later one, are sealed with the newest.
    const { ticketKey } = this;
    this.ticketKey = 0;
    if (ticketKey > 0) tickets.apply(greeting.context.pointer, ticketKey);
    const result = SSL_do_handshake(ssl);
    const error = result === 1 ? 0 : SSL_get_error(ssl, result);
    if (error !== 0 && error !== SSL_ERROR_WANT_READ) this.failure = takeErrorText() || 'the client ended the handshake';
    if (ticketKey > 0) tickets.apply(greeting.context.pointer, 0);
    loop.sendOut(this.inner);
    if (error === SSL_ERROR_WANT_READ) return false;
    if (error !== 0) {
      this.breakOff(EPROTO, closeHow.linger);
      return false;
    }
    this.phase = phase.open;
    this.beginner = null;
    this.facts = {
      version: SSL_version(ssl) === TLS1_3 ? '1.3' : '1.2',
      cipher: cipherName(SSL_get_current_cipher(ssl)),
      serverName: greeting.serverName,
      alpn: greeting.alpn,
      isResumed: SSL_session_reused(ssl) === 1,
    };
    this.owner.onOpen(this);
    return this.phase === phase.open;
  }

  /** Opens what was fed, the last of which ends at `end` in `block`. */
  private read(block: number, end: number): void {
    const { loop, ssl } = this;
    const { bios, blocks, base } = loop;
    do {
      if (this.isPaused) {
        this.keep(block, end - bios.unread, end);
        return;
      }
      // What is received becomes less plaintext than it is long, but for a record that began before.
      const isSmall = bios.unread <= SMALL_BYTES && !this.isUnfinished;
      let plain = isSmall ? blocks.takeSmall() : NO_BLOCK;
      if (plain === NO_BLOCK) plain = blocks.takeLarge();
      if (plain === NO_BLOCK || !loop.openOut()) {
        if (plain !== NO_BLOCK) blocks.release(plain);
        this.breakOff(ENOBUFS, closeHow.reset);
        return;
      }
      const start = blocks.start(plain);
      const stop = start + blocks.size(plain);
      let at = start;
      let error = 0;
      do {
        const count = SSL_read(ssl, base + at, stop - at);
        if (count > 0) at += count;
        else error = SSL_get_error(ssl, count);
        // A record that was given out whole, with no byte behind it: asking again would only hear so.
      } while (error === 0 && at < stop && bios.unread > 0);
      this.isUnfinished = at === stop;
      if (error !== 0 && error !== SSL_ERROR_WANT_READ) this.failure = takeErrorText();
      this.answerBytes = this.inner.queued === 0 ? bios.written : this.answerBytes + bios.written;
      loop.sendOut(this.inner);
      if (at > start) this.owner.onBytes(this, plain, start, at);
      blocks.release(plain);
      if (this.phase === phase.open && this.answerBytes > ANSWER_BYTES_MAX) {
        this.failure = 'too many requests whose answers are not read';
        this.breakOff(EPROTO, closeHow.reset);
      }
      if (this.phase !== phase.open || error === SSL_ERROR_WANT_READ) return;
      if (error !== 0) {
        this.ended(error);
        return;
      }
    } while (bios.unread > 0 || this.isUnfinished);
  }

  private ended(error: number): void {
    if (error !== SSL_ERROR_ZERO_RETURN) {
      this.breakOff(EPROTO, closeHow.linger);
      return;
    }
    this.hasEnded = true;
    if (this.isPaused) this.isEndKept = true;
    else this.owner.onRecvEnd(this);
  }

  private keep(block: number, start: number, end: number): void {
    if (start >= end) return;
    this.loop.blocks.retain(block);
    this.keptBlock = block;
    this.keptStart = start;
    this.keptEnd = end;
  }

  private sayGoodbye(): void {
    const { loop } = this;
    this.hasFin = true;
    if (loop.gatheredOf(this) > 0 && !loop.flush()) return;
    if (this.ssl === 0n || !loop.openOut()) return;
    if (SSL_shutdown(this.ssl) < 0) ERR_clear_error();
    loop.sendOut(this.inner);
  }

  private breakOff(errno: number, how: number): void {
    this.errno = errno;
    this.shut(how);
  }

  private shut(how: number): void {
    const { beginner } = this;
    this.phase = phase.closing;
    this.beginner = null;
    this.release();
    beginner?.onHandshakeFailed();
    this.inner.close(how);
  }

  private release(): void {
    this.loop.drop(this);
    if (this.keptBlock !== NO_BLOCK) this.loop.blocks.release(this.keptBlock);
    this.keptBlock = NO_BLOCK;
    if (this.ssl !== 0n) SSL_free(this.ssl);
    this.ssl = 0n;
  }
}
