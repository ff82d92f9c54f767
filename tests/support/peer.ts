/**
 * A scripted peer: one raw TCP conversation, as a client of weir or as an endpoint behind it. Says exactly these bytes, sees exactly
 * those, and notices how the other side ended: with FIN, with a reset, or not at all.
 */
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { type Message, MessageReader } from './message-reader.ts';
import { Hopeless, until, within } from './wait.ts';

/** How a side ended. */
export type Ending = 'open' | 'fin' | 'reset';
/** A machine may stand still for seconds. */
const PATIENCE_MS = 15_000;

export class Peer {
  readonly socket: Socket;
  readonly reader: MessageReader;
  ending: Ending = 'open';
  /** Why the reader gave up, if it did. */
  fault: Error | null = null;
  readonly closed: Promise<void>;
  private readonly chunks: Buffer[] = [];
  /** Bytes seen in all, kept or not. */
  receivedBytes = 0;
  /** Keep what arrives in `received`; turn it off for large amounts. */
  keeps = true;

  constructor(socket: Socket, reads: 'request' | 'response') {
    this.socket = socket;
    this.reader = new MessageReader(reads);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      if (this.keeps) this.chunks.push(chunk);
      this.parse(() => this.reader.feed(chunk));
    });
    socket.on('end', () => {
      if (this.ending === 'open') this.ending = 'fin';
      this.parse(() => this.reader.end());
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') this.ending = 'reset';
    });
    this.closed = new Promise((resolve) => socket.on('close', () => resolve()));
  }

  private parse(step: () => void): void {
    if (this.fault !== null) return;
    try {
      step();
    } catch (error) {
      this.fault = error as Error;
    }
  }

  get received(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  get localPort(): number {
    return this.socket.localPort!;
  }

  /** Text is latin1: one byte a character. */
  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends and waits until the kernel has taken it, so that a reset afterwards does not overtake it. */
  sendAll(bytes: string | Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve());
    });
  }

  /** Sends one piece every `everyMs`: the drip of slow attacks. Ends early when the other side has gone. */
  async drip(bytes: string, everyMs: number, pieceBytes = 1): Promise<void> {
    for (let at = 0; at < bytes.length && this.ending === 'open' && !this.socket.destroyed; at += pieceBytes) {
      this.send(bytes.slice(at, at + pieceBytes));
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** Waits until what arrived matches. */
  async expect(pattern: RegExp | string, withinMs = PATIENCE_MS): Promise<void> {
    const matches = (): boolean => (typeof pattern === 'string' ? this.received.includes(pattern) : pattern.test(this.received));
    await until(
      `bytes matching ${pattern}`,
      () => {
        if (matches()) return true;
        if (this.ending !== 'open')
          throw new Hopeless(`ended by ${this.ending}; received ${JSON.stringify(this.received.slice(-300))}`);
        return `received ${JSON.stringify(this.received.slice(-300))}` && false;
      },
      withinMs,
    );
  }

  /** The next complete message. */
  async message(withinMs = PATIENCE_MS): Promise<Message> {
    await until(
      'a complete message',
      () => {
        if (this.reader.messages.length > 0) return true;
        if (this.fault !== null) throw new Hopeless(this.fault.message);
        if (this.ending !== 'open') throw new Hopeless(`ended by ${this.ending}`);
        return false;
      },
      withinMs,
      2,
    ).catch((error: Error) => {
      error.message += `; ending ${this.ending}, received ${JSON.stringify(this.received.slice(0, 400))}`;
      throw error;
    });
    return this.reader.messages.shift()!;
  }

  /** The head of the message that is arriving or has just arrived. */
  async head(withinMs = PATIENCE_MS): Promise<Message> {
    return until('a head', () => this.reader.current ?? this.reader.messages[0], withinMs, 2);
  }

  /** Waits for the end of the other side and says how it was. */
  async ended(withinMs = PATIENCE_MS): Promise<Ending> {
    await until('the other side to end', () => this.ending !== 'open' || this.socket.destroyed, withinMs, 2);
    return this.ending;
  }

  /** Stops reading: the kernel's buffers fill and the sender has to wait. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** FIN; what arrives is still read. */
  sendEnd(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}

/** A client's connection. */
export async function connect(port: number, host = '127.0.0.1', localAddress?: string): Promise<Peer> {
  const socket = createConnection({ port, host, localAddress, allowHalfOpen: true });
  const peer = new Peer(socket, 'response');
  await within(
    `connect to ${port}`,
    PATIENCE_MS,
    new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    }),
  );
  return peer;
}

/** Sends one request on a connection of its own and returns the final answer. */
export async function ask(port: number, request: string, withinMs = PATIENCE_MS): Promise<Message> {
  const peer = await connect(port);
  try {
    peer.reader.expect(request.slice(0, request.indexOf(' ')));
    peer.send(request);
    while (true) {
      const message = await peer.message(withinMs);
      if (message.status >= 200 || message.status === 101) return message;
    }
  } finally {
    await peer.close();
  }
}

export type Script = (peer: Peer, index: number) => void | Promise<void>;

/** An endpoint that follows a script on each connection it is given. */
export class ScriptedEndpoint {
  readonly peers: Peer[] = [];
  /** What a script threw: asserted by close(). */
  readonly faults: Error[] = [];
  /** May be replaced; the next connection follows the new one. */
  script: Script;
  private readonly server: Server;

  private constructor(script: Script) {
    this.script = script;
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      const peer = new Peer(socket, 'request');
      const index = this.peers.push(peer) - 1;
      Promise.resolve()
        .then(() => this.script(peer, index))
        .catch((error: Error) => {
          // A test that is over takes its connections with it; that is no fault of the script.
          if (!socket.destroyed) this.faults.push(error);
        });
    });
  }

  static async start(script: Script, port = 0, host = '127.0.0.1'): Promise<ScriptedEndpoint> {
    const endpoint = new ScriptedEndpoint(script);
    await new Promise<void>((resolve, reject) => {
      endpoint.server.once('error', reject);
      endpoint.server.listen(port, host, () => resolve());
    });
    return endpoint;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }
  /** Every byte of every connection. */
  get received(): string {
    return this.peers.map((peer) => peer.received).join('');
  }
  /** The connection with this index, when it comes. */
  async peer(index: number, withinMs = PATIENCE_MS): Promise<Peer> {
    return until(`connection ${index} at the endpoint`, () => this.peers[index], withinMs, 2);
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    if (this.faults.length > 0) throw this.faults[0];
  }
}

/** A script that answers every request with these bytes, for as long as the connection lasts. */
export function answer(bytes: string | ((request: Message) => string)): Script {
  return async (peer) => {
    while (peer.ending === 'open' && !peer.socket.destroyed) {
      const request = await until(
        'a request or the end',
        () =>
          peer.reader.messages.shift() ??
          (peer.ending !== 'open' || peer.fault !== null || peer.socket.destroyed ? 'end' : undefined),
        600_000,
        1,
      );
      if (request === 'end') break;
      peer.send(typeof bytes === 'string' ? bytes : bytes(request));
    }
    if (!peer.socket.destroyed) peer.sendEnd();
  };
}

/** A small answer. */
export function ok(body: string, fields = ''): string {
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`;
}
