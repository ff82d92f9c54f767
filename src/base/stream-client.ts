/**
 * StreamClient: a connection whose bytes are carried as they are, as relay/ sees it. listen/ implements it; relay/ takes over its wire.
 *
 * Rules
 * 1. From onStream on the taker owns `wire`: it is its wire's owner, and calls over() once, when the wire is closed.
 * 2. cut() of the sink comes at most once: the worker leaves, or its deadline is over.
 */
import type { ClientAddress } from './client-address.ts';
import type { TlsFacts } from './tls-facts.ts';
import type { Wire } from './wire.ts';

export interface StreamClient {
  readonly wire: Wire;
  /** The client: the peer, or whom a PROXY line named. */
  readonly address: ClientAddress;
  /** The TCP peer. */
  readonly peer: ClientAddress;
  /** What the client connected to, as far as a PROXY line tells; family 0: ask the wire. */
  readonly destination: ClientAddress;
  /** Name the client hello asked for and the first protocol it offered, or what a PROXY line said of it; '' = none. */
  readonly serverName: string;
  readonly alpn: string;
  /** TLS was opened here, and the wire is plain; null: it was not. */
  readonly tls: TlsFacts | null;
  /** Monotonic ms at which it was accepted. */
  readonly startedMs: number;
  sink: StreamSink | null;
  /** The wire is closed; the connection is counted no more. */
  over(): void;
}

export interface StreamSink {
  /** Close at once. */
  cut(): void;
}
