/**
 * Streams: one exchange as its two ends see it. relay/ stands between a client stream (listen/ implements it) and an endpoint stream
 * (upstream/ implements it); it sees heads, body pieces and ends, never the bytes of a protocol. HTTP/1.1 has one stream a wire, HTTP/2 many.
 *
 * Body pieces are (block, start, end) as in base/wire.ts: lent for the call, retained by who keeps them.
 *
 * Rules
 * 1. A side that was told the other is gone makes no further call on it.
 * 2. After pause() at most the pieces of bytes already being decoded still arrive.
 * 3. onClientGone, onEndpointFault and onLeaseFailed are final for that side, and each comes at most once.
 * 4. cancel() and abort() are final too, made at most once, and may be made inside any event.
 */
import type { ClientAddress } from './client-address.ts';
import type { Head } from './head.ts';
import type { TlsFacts } from './tls-facts.ts';

/** The client's side of one exchange, as relay/ drives it. */
export interface ClientStream {
  /** Who is told; set by whoever takes the request, before it returns from the call that hands the request over. */
  sink: RequestSink | null;
  /** The client: the TCP peer, or whom a PROXY line named. */
  readonly address: ClientAddress;
  /** The TCP peer. */
  readonly peer: ClientAddress;
  /** What the client connected to: what a PROXY line told, else this end of its connection. Family 0: neither is known. Lent for the call. */
  destination(): ClientAddress;
  /** Port of what a PROXY line told that the client connected to; 0: none was told. */
  readonly toldPort: number;
  /** Monotonic ms of the first byte of this request, and how long the connection was idle before it. */
  readonly startedMs: number;
  readonly idleMs: number;
  readonly secure: boolean;
  /** Of the connection, when it is secure; null when not. */
  readonly tls: TlsFacts | null;
  /** One of `protocol` in state/doors.ts. */
  readonly protocol: number;
  /** Bytes given to send and not yet taken by the kernel. */
  readonly queued: number;
  /** When >= 0, onClientDrained is called once when `queued` falls to it. */
  drainBelow: number;
  /** Interim (1xx) or final head. `head.framing` says how the body comes; the stream chooses how the client gets it. */
  sendHead(head: Head): void;
  sendBody(block: number, start: number, end: number): void;
  /** The response is complete; trailers go out only when the client accepts them. */
  sendEnd(trailers: Head | null): void;
  /** No more body events until resume(). */
  pause(): void;
  resume(): void;
  /** The response began and cannot be completed: the client must be able to tell. No call or event follows. */
  abort(): void;
  /** Before sendHead: the rest of the request will not be read, so the connection ends with this response. */
  refuseMore(): void;
  /** After a 101 was sent: both directions are raw bytes from here; onRequestEnd is the client's end of its direction. */
  startTunnel(): void;
}

/** What the client's side tells relay/. */
export interface RequestSink {
  onRequestBody(block: number, start: number, end: number): void;
  onRequestTrailers(head: Head): void;
  onRequestEnd(): void;
  onClientDrained(): void;
  /** The request went wrong (framing, size, time) but the client can still be answered. No request event follows. */
  onRequestFault(faultId: number, detail: string): void;
  /** The client is gone; nothing can be sent any more. */
  onClientGone(faultId: number): void;
}

/** The endpoint's side of one exchange: a lease on a wire (or on a stream of one). */
export interface EndpointStream {
  /** The wire served an exchange before: its end may have come while it was idle. */
  readonly isReused: boolean;
  readonly queued: number;
  drainBelow: number;
  /**
   * `upgrade`: ask for the protocol of the head's Upgrade value. `client` asks, on behalf of `from`: whom an endpoint is told of that wants to hear it before
   * the head. False when the head cannot be sent (no memory, too large): cancel then.
   */
  sendHead(head: Head, upgrade: boolean, client: ClientStream, from: ClientAddress): boolean;
  sendBody(block: number, start: number, end: number): void;
  sendEnd(trailers: Head | null): void;
  pause(): void;
  resume(): void;
  /** Gives the exchange up, whatever its state; no event follows. */
  cancel(): void;
  /** The same of a tunnel that is cut: by a reset, so that the endpoint can tell it from an end. */
  breakOff(): void;
  /** After a 101 was received: raw bytes from here. */
  startTunnel(): void;
  /** Tunnel: the client ended its direction. */
  sendClose(): void;
}

/** What the endpoint's side tells relay/. */
export interface ResponseSink {
  onLeased(stream: EndpointStream): void;
  onLeaseFailed(faultId: number): void;
  /** Interim or final head, lent for the call. */
  onResponseHead(head: Head): void;
  onResponseBody(block: number, start: number, end: number): void;
  onResponseTrailers(head: Head): void;
  /** The lease has been given back already. */
  onResponseEnd(): void;
  onEndpointDrained(): void;
  onEndpointFault(faultId: number, detail: string): void;
}
