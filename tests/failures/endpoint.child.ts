/**
 * Process of endpoints that fail on command. Arguments: JSON list of "host:port" (port 0 is chosen). Says { ports } when all listen; a message
 * { mode, ms?, only? } changes how all of them answer ({ only: [index ...] }: those), and is answered by { done: true }.
 *
 * GET /healthz is answered well in every mode but `reset`, `garbage`, `mute` and `gone`: what fails is what users ask for.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { keyedBody } from '../support/keyed.ts';

type Mode = 'ok' | 'reset' | 'garbage' | 'mute' | 'hang' | '500' | '503' | 'late' | 'drip' | 'gone';

class Endpoint {
  private mode: Mode = 'ok';
  private ms = 0;
  private server: Server | null = null;
  private readonly sockets = new Set<Socket>();
  readonly host: string;
  port: number;

  constructor(address: string) {
    const at = address.lastIndexOf(':');
    this.host = address.slice(0, at);
    this.port = Number(address.slice(at + 1));
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true }, (socket) => this.accept(socket));
      server.on('error', reject);
      server.listen({ host: this.host, port: this.port, backlog: 511 }, () => {
        this.port = (server.address() as { port: number }).port;
        this.server = server;
        resolve();
      });
    });
  }

  async change(mode: Mode, ms: number): Promise<void> {
    const was = this.mode;
    this.mode = mode;
    this.ms = ms;
    if (mode === 'gone' && this.server !== null) {
      this.server.close();
      this.server = null;
    } else if (was === 'gone' && mode !== 'gone') await this.listen();
    // A process that dies takes its connections along; one that begins to reset resets those it has.
    if (mode === 'gone' || mode === 'reset') for (const socket of this.sockets) socket.resetAndDestroy();
  }

  private accept(socket: Socket): void {
    if (this.mode === 'reset') {
      socket.resetAndDestroy();
      return;
    }
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    let seen = '';
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1');
      for (let end = seen.indexOf('\r\n\r\n'); end >= 0; end = seen.indexOf('\r\n\r\n')) {
        const path = seen.slice(0, seen.indexOf('\r\n')).split(' ')[1] ?? '/';
        seen = seen.slice(end + 4);
        this.answer(socket, path);
      }
    });
  }

  private answer(socket: Socket, path: string): void {
    const { mode } = this;
    if (mode === 'mute') return;
    if (mode === 'reset') socket.resetAndDestroy();
    else if (mode === 'garbage') socket.end('\x16\x03\x01 this is no HTTP\r\n\r\n');
    else if (path === '/healthz') send(socket, 200, 'OK', Buffer.from('well\n'));
    else if (mode === 'hang') return;
    else if (mode === '500') send(socket, 500, 'Internal Server Error', Buffer.from('broken\n'));
    else if (mode === '503') send(socket, 503, 'Service Unavailable', Buffer.from('busy\n'));
    else {
      const [, , key = '', size = '0'] = path.split('/');
      const body = keyedBody(key, Number(size));
      if (mode === 'late') setTimeout(() => send(socket, 200, 'OK', body), this.ms);
      else if (mode === 'drip') drip(socket, body, this.ms);
      else send(socket, 200, 'OK', body);
    }
  }
}

function send(socket: Socket, status: number, phrase: string, body: Buffer): void {
  if (socket.destroyed) return;
  socket.write(`HTTP/1.1 ${status} ${phrase}\r\nX-Endpoint: ${process.pid}\r\nContent-Length: ${body.length}\r\n\r\n`);
  if (body.length > 0) socket.write(body);
}

/** The head at once, then a byte each `ms`. */
function drip(socket: Socket, body: Buffer, ms: number): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
  let at = 0;
  const timer = setInterval(() => {
    if (at >= body.length || socket.destroyed) clearInterval(timer);
    else socket.write(body.subarray(at, ++at));
  }, ms);
}

const endpoints = (JSON.parse(process.argv[2]!) as string[]).map((address) => new Endpoint(address));
await Promise.all(endpoints.map((endpoint) => endpoint.listen()));
process.send!({ ports: endpoints.map(({ port }) => port) });
process.on('message', (order: { mode: Mode; ms?: number; only?: number[] }) => {
  const chosen = order.only === undefined ? endpoints : order.only.map((index) => endpoints[index]!);
  void Promise.all(chosen.map((endpoint) => endpoint.change(order.mode, order.ms ?? 0))).then(() =>
    process.send!({ done: true }),
  );
});
process.on('disconnect', () => process.exit(0));
