/**
 * A TLS client whose connection can be watched and broken underneath: TLS by Node over a stream of the test's own, and below it a scripted peer that sees the very
 * bytes, the alerts among them, and how the other side ended.
 */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Certificates } from './certificates.ts';
import type { Message } from './message-reader.ts';
import { connect, Peer, ScriptedEndpoint } from './peer.ts';
import { until, within } from './wait.ts';

export interface TlsClientOptions extends ConnectionOptions {
  port: number;
  host?: string;
  localAddress?: string;
  /** Sent in front of TLS: a PROXY line. */
  ahead?: string | Buffer;
}

export class TlsClient {
  /** What is on the wire. */
  readonly raw: Peer;
  /** What TLS carries. */
  readonly peer: Peer;
  readonly socket: TLSSocket;

  constructor(raw: Peer, options: ConnectionOptions) {
    this.raw = raw;
    raw.keeps = false;
    this.socket = tlsConnect({ ALPNProtocols: ['http/1.1'], ...options, socket: streamOver(raw) });
    this.peer = new Peer(this.socket, 'response');
  }

  /** The handshake is over, and as wanted; else its error. */
  async opened(): Promise<this> {
    await within('a handshake', 15_000, once(this.socket, 'secureConnect'));
    return this;
  }

  /** The answer to a GET. */
  get(path = '/'): Promise<Message> {
    this.peer.reader.expect('GET');
    this.peer.send(`GET ${path} HTTP/1.1\r\nHost: shop.example\r\n\r\n`);
    return this.peer.message();
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.raw.close();
  }
}

/** Connects and says hello; the handshake is under way. */
export async function beginTls({ port, host, localAddress, ahead, ...options }: TlsClientOptions): Promise<TlsClient> {
  const raw = await connect(port, host, localAddress);
  if (ahead !== undefined) await raw.sendAll(ahead);
  return new TlsClient(raw, options);
}

/** Connects, and the handshake is over. */
export async function openTls(options: TlsClientOptions): Promise<TlsClient> {
  const client = await beginTls(options);
  try {
    return await client.opened();
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** How a handshake ended for a client: '' = well and answered, else the words of the alert, "tlsv1 unrecognized name", 'closed', or another error. */
export async function alertOf(options: TlsClientOptions): Promise<string> {
  const client = await beginTls(options);
  try {
    await client.opened();
    // A client of TLS 1.3 is done before the server has looked at its answer.
    client.peer.send('GET /alert HTTP/1.1\r\nHost: a\r\n\r\n');
    const first = Promise.race([once(client.socket, 'data'), once(client.socket, 'close').then(() => 'closed')]);
    return (await within('an answer or an alert', 15_000, first)) === 'closed' ? 'closed' : '';
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string };
    return reason ?? message;
  } finally {
    await client.close();
  }
}

/** What a client says first, as bytes. */
export async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = await ScriptedEndpoint.start(() => {});
  const client = await beginTls({ ...options, port: server.port });
  client.socket.on('error', () => {});
  const peer = await server.peer(0);
  // A hello is one record, and its length stands in front of it.
  const bytes = (): Buffer => Buffer.from(peer.received, 'latin1');
  await until('a hello', () => bytes().length > 5 && bytes().length === 5 + bytes().readUInt16BE(3));
  await client.close();
  await server.close();
  return bytes();
}

/** For `certificates` of a configuration. */
export function filesOf(
  all: Certificates,
  ...names: (keyof Certificates)[]
): Record<string, { files: { certificate: string; key: string } }> {
  return Object.fromEntries(names.map((name) => [name, { files: { certificate: all[name].certificate, key: all[name].key } }]));
}

/** A listener of requests in TLS beside `web`. `tls` as in a configuration. */
export function httpsOn(port: number, tls: unknown): Record<string, unknown> {
  return { listen: `127.0.0.1:${port}`, protocol: 'https', tls, to: 'pool' };
}

function streamOver({ socket }: Peer): Duplex {
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    final: (done) => void socket.end(done),
  });
  socket.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) socket.pause();
  });
  socket.on('end', () => stream.push(null));
  socket.on('error', (error) => stream.destroy(error));
  socket.on('close', () => stream.destroy());
  return stream;
}
