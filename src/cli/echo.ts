/**
 * `weir echo`: test endpoints that say who they are. They are no part of the balancer: plain node:http, made for trying it out and for tests.
 *
 *   /                   name, address, method, path; as JSON when Accept asks for it, then with the request's fields
 *   /bytes/16KiB        so many bytes
 *   /status/404         that status
 *   /body               the request's body back
 *   /events             server-sent events, one a second (?count=3&every=100ms)
 *   ?delay=200ms        on any of them: wait first
 *   Upgrade: websocket  echoes messages
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { echoWebsocket } from './echo-websocket.ts';
import { bytes, count, duration, localAddress, share } from './flags.ts';
import { exit, type Shell, UsageError } from './shell.ts';

/** Largest /bytes/N: 1 GiB. */
const BODY_BYTES_MAX = 1024 ** 3;
const PIECE = Buffer.alloc(64 * 1024, 'weir echo. ');
/** Longest ?delay=. */
const DELAY_MS_MAX = 60_000;

export interface EchoOptions {
  name: string;
  host: string;
  /** 0: any free one. */
  port: number;
  delayMs: number;
  /** Share of requests answered 500, 0..1. */
  fail: number;
  seed: number;
}

export interface EchoEndpoint {
  readonly name: string;
  /** As listened on: host and the port given by the system. */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** Requests seen. */
  requests(): number;
  close(): Promise<void>;
}

/** mulberry32: which requests fail is decided by the seed alone. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Starts one endpoint. Rejects with the system's error when the address cannot be had. */
export async function startEcho(options: EchoOptions): Promise<EchoEndpoint> {
  const random = randomOf(options.seed);
  let requests = 0;
  let address = '';

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requests++;
    const url = new URL(request.url ?? '/', 'http://echo');
    response.setHeader('x-endpoint', options.name);
    const asked = url.searchParams.get('delay');
    const delayMs = options.delayMs + (asked === null ? 0 : Math.min(duration(asked), DELAY_MS_MAX));
    if (delayMs > 0) await wait(delayMs);
    if (options.fail > 0 && random() < options.fail) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${options.name} fails on purpose\n`);
      return;
    }
    const [, first, second] = url.pathname.split('/');
    if (first === 'bytes') return sendBytes(response, second ?? '');
    if (first === 'status' && /^[2-5]\d\d$/.test(second ?? '')) return void response.writeHead(Number(second)).end();
    if (first === 'events') return sendEvents(response, url, options.name);
    if (first === 'body') {
      const type = request.headers['content-type'] ?? 'application/octet-stream';
      response.writeHead(200, { 'content-type': type });
      request.pipe(response);
      return;
    }
    request.resume();
    const { method } = request;
    if (request.headers.accept?.includes('json')) {
      const fields: Record<string, string[]> = Object.create(null);
      for (const [name, values] of Object.entries(request.headersDistinct)) fields[name] = values ?? [];
      const said = {
        name: options.name,
        address,
        method,
        path: request.url,
        client: request.socket.remoteAddress,
        headers: fields,
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said) + '\n');
    } else {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end(`${options.name} at ${address}: ${method} ${request.url}\n`);
    }
  }

  const server: Server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(400, { 'content-type': 'text/plain' }).end(error.message + '\n');
    });
  });
  const tunnels = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    requests++;
    tunnels.add(socket);
    socket.once('close', () => tunnels.delete(socket));
    echoWebsocket(request, socket, head, options.name);
  });
  // Above the balancer's own idle time, so that the balancer is the one to close.
  server.keepAliveTimeout = 75_000;
  server.listen({ host: options.host, port: options.port });
  await once(server, 'listening');
  const bound = server.address() as AddressInfo;
  address = bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  return {
    name: options.name,
    address,
    host: bound.address,
    port: bound.port,
    requests: () => requests,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      for (const socket of tunnels) socket.destroy();
      await closed;
    },
  };
}

async function sendBytes(response: ServerResponse, text: string): Promise<void> {
  const size = bytes(text);
  if (size === null || size > BODY_BYTES_MAX)
    throw new UsageError(`/bytes/ wants a size up to ${BODY_BYTES_MAX}, for example /bytes/16KiB`);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
  for (let left = size; left > 0 && !response.destroyed; left -= PIECE.length) {
    const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
    if (!response.write(piece)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
  response.end();
}

async function sendEvents(response: ServerResponse, url: URL, name: string): Promise<void> {
  const number = count(url.searchParams.get('count') ?? '10', 1, 100_000);
  const everyMs = duration(url.searchParams.get('every') ?? '1s');
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let id = 1; id <= number && !response.destroyed; id++) {
    response.write(`id: ${id}\ndata: ${name}\n\n`);
    if (id < number) await wait(everyMs);
  }
  response.end();
}

interface EchoFlags {
  number: string;
  from: string;
  delay: string;
  fail: string;
  seed: string;
  json?: boolean;
}

export async function echo(flags: EchoFlags, shell: Shell): Promise<number> {
  const number = count(flags.number, 1, 1000);
  const { host, port } = localAddress(flags.from);
  if (port + number - 1 > 65535) throw new UsageError(`${number} endpoints from port ${port} do not fit below 65536`);
  const common = { host, delayMs: duration(flags.delay), fail: share(flags.fail) };
  const seed = count(flags.seed, 0, 999_999_999);
  const endpoints: EchoEndpoint[] = [];
  for (let at = 0; at < number; at++) {
    try {
      endpoints.push(await startEcho({ ...common, name: `echo-${at + 1}`, port: port === 0 ? 0 : port + at, seed: seed + at }));
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'the port is taken' : (error as Error).message;
      shell.err(`weir: cannot listen on ${host}:${port + at}: ${why}\n`);
      await Promise.all(endpoints.map((endpoint) => endpoint.close()));
      return exit.cannotStart;
    }
  }
  for (const endpoint of endpoints) {
    if (flags.json) shell.out(JSON.stringify({ name: endpoint.name, address: endpoint.address }) + '\n');
    else shell.out(`${endpoint.name}  http://${endpoint.address}\n`);
  }
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  return exit.done;
}
