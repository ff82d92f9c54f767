/** A client connection whose bytes are carried as they are: counted and listed here, carried by relay/. */
import { ClientAddress } from '../base/client-address.ts';
import type { StreamClient, StreamSink } from '../base/stream-client.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import type { Wire } from '../base/wire.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Listener } from './listener.ts';

/** What a client connected to, where nothing tells. Never written to. */
const UNKNOWN = new ClientAddress();

export class StreamConnection implements StreamClient, ClientConnection {
  readonly wire: Wire;
  readonly address: ClientAddress;
  readonly peer: ClientAddress;
  readonly destination: ClientAddress;
  readonly startedMs: number;
  readonly serverName: string;
  readonly alpn: string;
  readonly tls: TlsFacts | null;
  sink: StreamSink | null = null;
  before: ClientConnection | null = null;
  after: ClientConnection | null = null;
  isIdle = false;
  older: ClientConnection | null = null;
  newer: ClientConnection | null = null;
  private readonly listener: Listener;

  /** `from`: what the first bytes told; null: the wire is all that is known. */
  constructor(wire: Wire, listener: Listener, startedMs: number, from: StreamOrigin | null) {
    this.wire = wire;
    this.listener = listener;
    this.startedMs = startedMs;
    if (from === null) {
      this.peer = this.address = new ClientAddress();
      wire.readPeer(this.peer);
      this.destination = UNKNOWN;
      this.serverName = this.alpn = '';
      this.tls = null;
    } else {
      this.peer = from.peer;
      this.address = from.address;
      this.destination = from.destination;
      this.serverName = from.serverName;
      this.alpn = from.alpn;
      this.tls = from.tls;
    }
  }

  shed(): void {
    // Never idle: whether a stream is, only its two ends know.
  }

  cut(): void {
    this.sink?.cut();
  }

  over(): void {
    this.listener.onStreamOver(this);
  }
}

/** What the first bytes of a connection told of it. */
export interface StreamOrigin {
  readonly peer: ClientAddress;
  readonly address: ClientAddress;
  readonly destination: ClientAddress;
  readonly serverName: string;
  readonly alpn: string;
  readonly tls: TlsFacts | null;
}
