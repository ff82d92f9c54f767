/** Clients and endpoints that speak UDP, and the configuration of a weir between them. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach } from 'node:test';
import type { Weir, WeirConfig } from './weir.ts';

/** Every socket of a test; closed after it. */
const talkers: Talker[] = [];
afterEach(async () => {
  for (const talker of talkers.splice(0)) await talker.close();
});

/** Those that are open now outlive the test that comes: whoever opened them closes them. */
export function keepTalkers(): void {
  talkers.length = 0;
}

/** A UDP socket that notes what comes. */
export class Talker {
  readonly socket: Socket;
  readonly host: string;
  readonly got: { bytes: Buffer; from: RemoteInfo }[] = [];
  onDatagram: (bytes: Buffer, from: RemoteInfo) => void = () => {};
  private isClosed = false;

  private constructor(socket: Socket, host: string) {
    this.socket = socket;
    this.host = host;
    socket.on('message', (bytes, from) => {
      this.got.push({ bytes, from });
      this.onDatagram(bytes, from);
    });
    socket.on('error', () => {});
  }
  static async open(port = 0, host = '127.0.0.1'): Promise<Talker> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    const talker = new Talker(socket, host);
    talkers.push(talker);
    return talker;
  }
  get port(): number {
    return this.socket.address().port;
  }
  get texts(): string[] {
    return this.got.map(({ bytes }) => bytes.toString('latin1'));
  }
  say(port: number, what: string | Buffer, host = '127.0.0.1'): this {
    this.socket.send(what, port, host);
    return this;
  }
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await new Promise<void>((resolve) => this.socket.close(() => resolve()));
  }
}

export function openTalkers(count: number): Promise<Talker[]> {
  return Promise.all(Array.from({ length: count }, () => Talker.open()));
}

/** Answers each datagram with the same and its own name behind it; name '': with the same. */
export async function endpoint(name: string, host = '127.0.0.1'): Promise<Talker> {
  const talker = await Talker.open(0, host);
  talker.onDatagram = (bytes, { port, address }) =>
    talker.say(port, name === '' ? bytes : Buffer.concat([bytes, Buffer.from(name)]), address);
  return talker;
}

/** One listener `dns`, one pool. */
export function datagramConfig(
  ports: { web: number; admin: number },
  endpoints: readonly Talker[],
  udp: Record<string, unknown> = {},
  pool: Record<string, unknown> = {},
): WeirConfig {
  return {
    version: 1,
    process: { drain: { notReadyFor: '0s', graceful: '2s', hardStop: '5s' } },
    admin: { listen: [`127.0.0.1:${ports.admin}`] },
    listeners: { dns: { protocol: 'udp', listen: `127.0.0.1:${ports.web}`, to: 'pool', udp } },
    pools: { pool: { protocol: 'udp', endpoints: endpoints.map(({ port }) => `127.0.0.1:${port}`), ...pool } },
  };
}

/** Clients that the listener remembers. */
export function sessions(weir: Weir, listener = 'dns'): Promise<number> {
  return weir.metric('weir_udp_sessions', { listener });
}

export function rejected(weir: Weir, reason: string, listener = 'dns'): Promise<number> {
  return weir.metric('weir_connections_rejected_total', { reason, listener });
}
