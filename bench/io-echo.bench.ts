/**
 * io-echo: what the completion loop itself costs. A program without a protocol stands on the engine and wrk drives it:
 *
 *     answer   whatever arrives is answered with one fixed HTTP response: 1 receive, 1 send a request
 *     relay    each client wire has a wire of its own to nginx; bytes go both ways untouched: 2 receives, 2 sends a request
 *
 * CPU is that of the measured process alone, user and system, divided by wrk's requests. HAProxy in TCP mode stands beside the relay, in
 * the same run, so that the ratio holds on a busy machine.
 *
 * --variants '{"deep":{"receiveDepth":512}}' adds engines with these options (UringOptions) beside the default one.
 *
 *     node bench/io-echo.bench.ts [--seconds 3] [--rounds 2] [--connections 64] [--engine uring|epoll] [--body 0] [--only answer] [--close]
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Address, closeHow, type Engine, type Wire, type WireOwner } from '../src/base/wire.ts';
import { LARGE_COUNT, openEngine, SMALL_COUNT } from '../src/io/io.ts';
import { openUring } from '../src/io/uring.ts';
import * as libc from '../src/sys/libc.ts';

const RESPONSE = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!';
/** A wire whose other end has this much queued is paused, and goes on at a quarter of it. */
const QUEUED_MAX = 256 * 1024;

class Answer implements WireOwner {
  private readonly block: number;
  private readonly start: number;
  private readonly end: number;

  constructor(engine: Engine) {
    this.block = engine.blocks.takeSmall();
    this.start = engine.blocks.start(this.block);
    this.end = this.start + RESPONSE.length;
    engine.blocks.bytes.set(Buffer.from(RESPONSE), this.start);
  }
  onOpen(): void {}
  onBytes(wire: Wire): void {
    wire.send(this.block, this.start, this.end);
  }
  onRecvEnd(wire: Wire): void {
    wire.close(closeHow.flush);
  }
  onDrained(): void {}
  onClosed(): void {}
}

/** One end of a relayed pair. */
class End implements WireOwner {
  wire: Wire | null = null;
  isOpen = false;
  other: End | null = null;

  onOpen(wire: Wire): void {
    this.isOpen = true;
    this.wire = wire;
    this.other!.wire?.resume();
  }
  onBytes(_wire: Wire, block: number, start: number, end: number): void {
    const to = this.other!.wire;
    if (to === null || !this.other!.isOpen) return;
    to.send(block, start, end);
    if (to.queued > QUEUED_MAX) {
      this.wire!.pause();
      to.drainBelow = QUEUED_MAX / 4;
    }
  }
  onRecvEnd(): void {
    if (this.other!.isOpen) this.other!.wire?.close(closeHow.flush);
    this.wire?.close(closeHow.flush);
  }
  onDrained(): void {
    this.other!.wire?.resume();
  }
  onClosed(): void {
    this.wire = null;
    this.isOpen = false;
    this.other!.wire?.close(closeHow.flush);
  }
}

async function serve(kind: string, engineName: 'uring' | 'epoll', upstreamPort: number, options: string): Promise<void> {
  const counts = { largeCount: LARGE_COUNT, smallCount: SMALL_COUNT };
  const engine = options === '' ? openEngine(engineName).engine : openUring({ ...counts, ...JSON.parse(options) });
  const address: Address = { kind: 'ip', host: '127.0.0.1', port: 0 };
  const upstream: Address = { kind: 'ip', host: '127.0.0.1', port: upstreamPort };
  const listener = libc.check('socket', libc.streamSocket(address));
  libc.check('bind', libc.bind(listener, address));
  libc.check('listen', libc.listen(listener, 4096));
  const answer = new Answer(engine);
  engine.accept(listener, {
    onAccept(wire) {
      if (kind === 'answer') {
        wire.owner = answer;
        return;
      }
      const client = new End();
      const endpoint = new End();
      client.other = endpoint;
      endpoint.other = client;
      client.wire = wire;
      client.isOpen = true;
      wire.owner = client;
      wire.pause();
      endpoint.wire = engine.dial(upstream, endpoint);
    },
    onAcceptFault: (errno) => process.stderr.write(`accept: ${errno}\n`),
  });
  const bound = libc.localAddress(listener) as Address & { port: number };
  process.stdout.write(`${bound.port}\n`);
  process.on('SIGTERM', () => engine.stop());
  const before = process.cpuUsage();
  await engine.run();
  const used = process.cpuUsage(before);
  const { enters, completions, overflows } = engine.stats;
  process.stderr.write(
    `  user ${used.user / 1000} ms, system ${used.system / 1000} ms, ${enters} enters, ${completions} completions, `,
  );
  process.stderr.write(
    `${(completions / enters).toFixed(1)} a turn, ${overflows} overflows, rss ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB\n`,
  );
  process.exit(0);
}

/** CPU microseconds of a process so far. */
function cpuMicroseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(port: number): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    try {
      await (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5000) })).arrayBuffer();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Subject {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly child: ChildProcess;
}

async function startOurs(
  kind: string,
  engine: string,
  upstreamPort: number,
  flags: string[],
  variant = '',
  options = '',
): Promise<Subject> {
  const serving = ['--serve', kind, '--engine', engine, '--upstream', `${upstreamPort}`, '--options', options];
  const child = spawn(process.execPath, [...flags, import.meta.filename, ...serving], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve) => child.stdout!.once('data', (text) => resolve(Number(text))));
  return { name: `${kind} ${engine} ${variant}`, port, pid: child.pid!, child };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      serve: { type: 'string' },
      upstream: { type: 'string', default: '0' },
      engine: { type: 'string', default: 'uring' },
      seconds: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '2' },
      connections: { type: 'string', default: '64' },
      body: { type: 'string', default: '13' },
      only: { type: 'string', default: '' },
      close: { type: 'boolean', default: false },
      variants: { type: 'string', default: '{}' },
      options: { type: 'string', default: '' },
      prof: { type: 'string', default: '' },
    },
  });
  if (values.serve !== undefined)
    return serve(values.serve, values.engine as 'uring' | 'epoll', Number(values.upstream), values.options);

  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const body = Number(values.body);
  writeFileSync(join(folder, 'index.html'), 'x'.repeat(body));
  const nginxPort = await freePort();
  const connection = values.close ? 'keepalive_requests 1;' : 'keepalive_requests 100000000;';
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log /dev/null; events { worker_connections 8192; }
     http { access_log off; sendfile on; open_file_cache max=10; ${connection} client_body_temp_path ${folder}; proxy_temp_path ${folder};
     fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
     server { listen 127.0.0.1:${nginxPort} backlog=4096 reuseport; root ${folder}; } }`,
  );
  const nginx = spawn('nginx', ['-c', join(folder, 'nginx.conf')], { stdio: 'ignore' });
  await answers(nginxPort);

  const subjects: Subject[] = [];
  const wants = (name: string) => values.only === '' || name.includes(values.only);
  const flags = values.prof === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.prof}`];
  if (wants('answer')) subjects.push(await startOurs('answer', values.engine, nginxPort, flags));
  if (wants('relay')) subjects.push(await startOurs('relay', values.engine, nginxPort, flags));
  for (const [variant, options] of Object.entries(JSON.parse(values.variants) as Record<string, object>)) {
    for (const kind of ['answer', 'relay']) {
      if (wants(kind)) subjects.push(await startOurs(kind, 'uring', nginxPort, flags, variant, JSON.stringify(options)));
    }
  }
  if (wants('haproxy') && spawnSync('haproxy', ['-v']).status === 0) {
    const port = await freePort();
    writeFileSync(
      join(folder, 'haproxy.cfg'),
      `global\n nbthread 1\n maxconn 8000\ndefaults\n mode tcp\n timeout client 60s\n timeout server 60s\n timeout connect 5s
       listen a\n bind 127.0.0.1:${port}\n server s 127.0.0.1:${nginxPort}\n`,
    );
    const child = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
    subjects.push({ name: 'haproxy tcp', port, pid: child.pid!, child });
  }
  const results = new Map<string, number[]>();
  try {
    for (const subject of subjects) await answers(subject.port);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const { name, port, pid } of subjects) {
        const before = cpuMicroseconds(pid);
        const headers = values.close ? ['-H', 'Connection: close'] : [];
        const text = execFileSync(
          'wrk',
          ['-t1', `-c${values.connections}`, `-d${values.seconds}s`, '--latency', ...headers, `http://127.0.0.1:${port}/`],
          { encoding: 'utf8' },
        );
        const cpu = cpuMicroseconds(pid) - before;
        const requests = Number(/(\d+) requests in/.exec(text)![1]);
        const p99 = /99%\s+(\S+)/.exec(text)![1];
        const errors = /Socket errors:.*/.exec(text)?.[0] ?? '';
        const perRequest = cpu / requests;
        results.set(name, [...(results.get(name) ?? []), perRequest]);
        process.stdout.write(
          `${name.padEnd(22)} ${perRequest.toFixed(2).padStart(8)} us/request  ${Math.round(requests / Number(values.seconds))} requests/s  p99 ${p99} ${errors}\n`,
        );
      }
    }
  } finally {
    for (const { child } of subjects) {
      const isOver = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await isOver;
    }
    nginx.kill('SIGQUIT');
    rmSync(folder, { recursive: true });
  }
}

await main();
