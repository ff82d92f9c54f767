/**
 * weir as a black box: bin/weir run with a configuration of the test's own, its processes, its addresses, its end.
 *
 * The ports are chosen here and written into the configuration: a test reloads and restarts on the same ones.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf, commandOf, freePort, isAlive } from './system.ts';
import { Hopeless, until, within } from './wait.ts';

const root = join(import.meta.dirname, '../..');
const START_MS = 30_000;
const STOP_MS = 25_000;
/** Beyond it a GET has failed: a machine may stand still for seconds. */
const GET_MS = 10_000;

export type EngineName = 'uring' | 'epoll';

/** Parts of a configuration; what is not given is filled in so that it runs. */
export interface WeirConfig {
  listeners?: Record<string, Record<string, unknown>>;
  pools?: Record<string, Record<string, unknown>>;
  [key: string]: unknown;
}

/** A line of the log. */
export interface LogEvent {
  time: string;
  event: string;
  [field: string]: unknown;
}

export interface WeirOptions {
  /** Gets the port of listener `web` and of the admin address. */
  config: (ports: { web: number; admin: number }) => WeirConfig;
  workers?: number;
  engine?: EngineName;
  /** More arguments to `weir run`. */
  args?: string[];
  /** Put in front of the command: `prlimit --nofile=100`. */
  under?: string[];
  environment?: Record<string, string>;
  /** Start on the ports of an earlier instance. */
  ports?: { web: number; admin: number };
  folder?: string;
}

/** One listener `web` on the port, one pool of these endpoints, admin address on. */
export function simpleConfig(
  ports: { web: number; admin: number },
  endpoints: readonly (string | Record<string, unknown>)[],
  more: { listener?: Record<string, unknown>; pool?: Record<string, unknown>; top?: Record<string, unknown> } = {},
): WeirConfig {
  return {
    version: 1,
    process: { drain: { notReadyFor: '0s', graceful: '5s', hardStop: '10s' } },
    admin: { listen: [`127.0.0.1:${ports.admin}`] },
    listeners: { web: { listen: `127.0.0.1:${ports.web}`, to: 'pool', ...more.listener } },
    pools: { pool: { endpoints, ...more.pool } },
    ...more.top,
  };
}

export class Weir {
  readonly child: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
  readonly configPath: string;
  readonly folder: string;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';
  private readonly options: WeirOptions;
  private readonly ownsFolder: boolean;
  private isOver = false;
  /** Every worker that was ever seen: none may outlive the test. */
  private readonly seen = new Set<number>();

  private constructor(options: WeirOptions, ports: { web: number; admin: number }) {
    this.options = options;
    this.port = ports.web;
    this.adminPort = ports.admin;
    this.ownsFolder = options.folder === undefined;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), 'weir-scenario-'));
    this.configPath = join(this.folder, 'weir.json');
    this.writeConfig(options.config(ports));
    const command = [
      ...(options.under ?? []),
      join(root, 'bin/weir'),
      'run',
      '-c',
      this.configPath,
      '--workers',
      String(options.workers ?? 1),
      ...(options.engine === undefined ? [] : ['--engine', options.engine]),
      ...(options.args ?? []),
    ];
    this.child = spawn(command[0]!, command.slice(1), {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, WEIR_NODE: process.execPath, NODE_TEST_CONTEXT: undefined, ...options.environment },
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text) => (this.stdout += text));
    this.child.stderr!.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.exited = new Promise((resolve) =>
      this.child.on('exit', (code, signal) => {
        this.isOver = true;
        resolve({ code, signal });
      }),
    );
  }

  /** Starts weir and waits until it takes traffic. */
  static async start(options: WeirOptions): Promise<Weir> {
    const ports = options.ports ?? { web: await freePort(), admin: await freePort() };
    const weir = new Weir(options, ports);
    try {
      await weir.ready();
    } catch (error) {
      (error as Error).message += `\n${weir.logs}`;
      await weir.kill();
      throw error;
    }
    return weir;
  }

  /** Starts weir and does not wait: for configurations that must not come up. */
  static async launch(options: WeirOptions): Promise<Weir> {
    return new Weir(options, options.ports ?? { web: await freePort(), admin: await freePort() });
  }

  async ready(): Promise<void> {
    await until(
      'weir to be ready',
      async () => {
        if (this.isOver) throw new Hopeless('weir has exited');
        return (await this.admin('/readyz')).status === 200;
      },
      START_MS,
      20,
    );
    await until('all workers to run', () => this.workers.length === (this.options.workers ?? 1), START_MS);
  }

  /** Pid of the control process. */
  get pid(): number {
    return this.child.pid!;
  }

  /** Pids of the living workers, oldest first. */
  get workers(): number[] {
    const pids = childrenOf(this.pid).filter((pid) => isAlive(pid) && commandOf(pid).includes('worker/worker.ts'));
    for (const pid of pids) this.seen.add(pid);
    return pids;
  }

  get logs(): string {
    return `--- stdout of weir\n${this.stdout}\n--- stderr of weir\n${this.stderr}`;
  }

  /** Events of this name in the log, oldest first. */
  events(name: string): LogEvent[] {
    const lines = this.stderr.split('\n').filter((line) => line.includes(`"event":"${name}"`) && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as LogEvent);
  }

  /** Epoch in force, as the log tells it. */
  get epoch(): number {
    return Number([...this.stderr.matchAll(/"event":"(?:ready|reloaded)".*?"epoch":(\d+)/g)].at(-1)?.[1] ?? 0);
  }

  get isRunning(): boolean {
    return !this.isOver;
  }

  writeConfig(config: WeirConfig | string): void {
    writeFileSync(this.configPath, typeof config === 'string' ? config : JSON.stringify(config, null, 2));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Puts a new configuration in force with SIGHUP and waits until weir says that it is. Metrics are told once a second, the log at once. */
  async reload(config: WeirConfig): Promise<void> {
    const from = this.stderr.length;
    this.writeConfig(config);
    this.signal('SIGHUP');
    await until(
      'the new epoch',
      () => {
        const said = this.stderr.slice(from);
        if (said.includes('"event":"reload_refused"')) throw new Hopeless(`the reload was refused: ${said}`);
        return said.includes('"event":"reloaded"');
      },
      10_000,
      5,
    );
  }

  /** GET on the admin address. */
  admin(path: string): Promise<{ status: number; body: string }> {
    return get(this.adminPort, path);
  }

  /** Sum of the series of this name whose labels hold all of `labels`; NaN when there is none. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const { status, body } = await this.admin('/metrics');
    if (status !== 200) throw new Error(`metrics answered ${status}`);
    let sum = Number.NaN;
    for (const line of body.split('\n')) {
      const match = /^([a-zA-Z_:]\w*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match === null || match[1] !== name) continue;
      if (!Object.entries(labels).every(([key, value]) => (match[2] ?? '').includes(`${key}="${value}"`))) continue;
      sum = (Number.isNaN(sum) ? 0 : sum) + Number(match[3]);
    }
    return sum;
  }

  /** Ends weir as an operator would and asserts that it went well: exit code, no worker left behind. */
  async stop(expectCode: number | null = 0): Promise<void> {
    const workers = this.workers;
    if (!this.isOver) this.child.kill('SIGTERM');
    try {
      const { code, signal } = await within('weir to stop', STOP_MS, this.exited);
      if (expectCode !== null && (code !== expectCode || signal !== null))
        throw new Error(`weir exited with ${code ?? signal}, expected ${expectCode}\n${this.logs}`);
      await until('all workers to be gone', () => workers.every((pid) => !isAlive(pid)));
    } finally {
      await this.kill();
    }
  }

  /** Ends whatever is left, by pid. */
  async kill(): Promise<void> {
    if (!this.isOver) for (const pid of this.workers) this.seen.add(pid);
    if (!this.isOver) this.child.kill('SIGKILL');
    await this.exited;
    for (const pid of this.seen) if (isAlive(pid) && commandOf(pid).includes('worker/worker.ts')) process.kill(pid, 'SIGKILL');
    if (this.ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A GET with Node's own client. */
export function get(port: number, path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, headers, agent: false, timeout: GET_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode!, body }));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to GET ${path} within ${GET_MS} ms`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
