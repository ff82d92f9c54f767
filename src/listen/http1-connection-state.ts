/**
 * http1-connection-state: what is known of one HTTP/1.1 client connection, and of the exchange under way on it. http1-connection.ts and its parts
 * (-receive, -fault, -send, -next, -time, -close) move it on; nobody else writes to it.
 *
 * Every field is here because ten thousand of these may be idle: a part of a connection is functions, not one more object.
 */
import { NO_BLOCK } from '../base/blocks.ts';
import type { Carry } from '../base/carry.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { RequestSink } from '../base/stream.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import type { Wire } from '../base/wire.ts';
import type { Http1Decoder, Http1Writer } from '../protocol/http1/http1.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Clients } from './clients.ts';
import type { ConnectionKit } from './connection-kit.ts';
import type { Listener } from './listener.ts';
import type { ListenParts } from './parts.ts';
import type { RateWatch } from './rate-watch.ts';
import type { StreamOrigin } from './stream-connection.ts';

export class Http1ClientState {
  sink: RequestSink | null = null;
  readonly address: ClientAddress;
  readonly peer: ClientAddress;
  readonly secure: boolean;
  readonly tls: TlsFacts | null;
  startedMs = 0;
  idleMs = 0;
  // Neighbours in the list of all connections.
  before: ClientConnection | null = null;
  after: ClientConnection | null = null;
  // Neighbours in the list of idle connections.
  isIdle = false;
  older: ClientConnection | null = null;
  newer: ClientConnection | null = null;

  /** What a PROXY line told of where the client connected to. */
  readonly toldDestination: ClientAddress | null;
  readonly toldPort: number;
  readonly wire: Wire;
  readonly listener: Listener;
  readonly parts: ListenParts;
  readonly clients: Clients;
  readonly kit: ConnectionKit;
  readonly decoder: Http1Decoder;
  readonly writer: Http1Writer;
  readonly carry: Carry;
  readonly rate: RateWatch;
  /** Block of the bytes being decoded. */
  block = NO_BLOCK;
  // Bytes behind the request under way (pipelining), held.
  stashBlock = NO_BLOCK;
  stashStart = 0;
  stashEnd = 0;

  isAdmitted = false;
  isProcessing = false;
  /** A message has begun to arrive. */
  isReading = false;
  isRequestDone = false;
  isResponseDone = false;
  isTunnel = false;
  isTunnelSent = false;
  /** A fault of framing: what still arrives is not parsed. */
  isDeaf = false;
  isClosing = false;
  countsAsClosing = false;
  hasPeerEnded = false;
  isPausedByRelay = false;
  isPausedByUs = false;
  keepAlive = true;
  version = 11;
  acceptsTrailers = false;
  served = 0;

  idleSinceMs = 0;
  /** What the timer is for, and when: moved without touching the timer wheel as long as it only moves later. */
  deadlineMs = Infinity;
  ticket = 0;
  ticketMs = Infinity;
  countedReceived = 0;
  countedSent = 0;

  /** `from`: what a PROXY line told; null: the peer is the client. */
  constructor(
    wire: Wire,
    listener: Listener,
    parts: ListenParts,
    clients: Clients,
    kit: ConnectionKit,
    from: StreamOrigin | null,
  ) {
    this.wire = wire;
    this.listener = listener;
    this.parts = parts;
    this.clients = clients;
    this.kit = kit;
    this.decoder = kit.decoder;
    this.writer = kit.writer;
    this.carry = kit.carry;
    this.rate = kit.rate;
    this.tls = from === null ? null : from.tls;
    this.secure = this.tls !== null;
    if (from === null) {
      this.peer = this.address = new ClientAddress();
      wire.readPeer(this.address);
      this.toldDestination = null;
      this.toldPort = 0;
    } else {
      this.peer = from.peer;
      this.address = from.address;
      this.toldDestination = from.destination;
      this.toldPort = from.destination.port;
    }
  }
}
