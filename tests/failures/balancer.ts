/** The balancers that the failures are shown to: weir, and HAProxy of the distribution with a configuration as near as it comes. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask } from '../support/peer.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

export interface Balancer {
  readonly port: number;
  /** No new requests for this endpoint; resolves when nothing of it is under way. */
  drain(address: string): Promise<void>;
  ready(address: string): Promise<void>;
  /** How often endpoints changed their state so far; NaN when it does not tell. */
  transitions(): Promise<number>;
  stop(): Promise<void>;
}

export type BalancerName = 'weir' | 'haproxy';
export type Start = (addresses: readonly string[]) => Promise<Balancer>;

/** Both: a check of /healthz every 2 s, three failures take out, two passes bring back; a second try elsewhere; an answer within 3 s. */
export const start: Readonly<Record<BalancerName, Start>> = { weir: startWeir, haproxy: startHaproxy };

export function haproxyVersion(): string | null {
  try {
    return execFileSync('haproxy', ['-v'], { encoding: 'utf8' }).split('\n')[0]!.replace(/ - .*/, '');
  } catch {
    return existsSync('/usr/sbin/haproxy') ? 'HAProxy' : null;
  }
}

async function startWeir(addresses: readonly string[]): Promise<Balancer> {
  const weir = await Weir.start({
    workers: 1,
    config: (ports) =>
      simpleConfig(ports, addresses, {
        listener: { limits: { connectionsPerIp: 0 } },
        pool: {
          health: {
            active: { path: '/healthz', interval: '2s', timeout: '1s', rise: 2, fall: 3 },
            passive: { latency: 3 },
          },
        },
        top: { defaults: { timeouts: { connect: '1s', response: '3s', idle: '3s' } } },
      }),
  });
  const order = async (address: string, what: string): Promise<void> => {
    const path = `/api/v1/pools/pool/endpoints/${encodeURIComponent(address)}/${what}`;
    const { status } = await fetch(`http://127.0.0.1:${weir.adminPort}${path}`, { method: 'POST' });
    if (status >= 300) throw new Error(`${what} of ${address} was answered ${status}`);
  };
  return {
    port: weir.port,
    async drain(address) {
      await order(address, 'drain');
      await until(
        `${address} to be quiet`,
        async () => (await weir.metric('weir_endpoint_requests_in_flight', { endpoint: address })) === 0,
      );
    },
    ready: (address) => order(address, 'ready'),
    transitions: () => weir.metric('weir_endpoint_transitions_total'),
    stop: () => weir.stop(),
  };
}

async function startHaproxy(addresses: readonly string[]): Promise<Balancer> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-failures-'));
  const port = await freePort();
  const socket = join(folder, 'admin.sock');
  const names = new Map(addresses.map((address, i) => [address, `b/s${i}`]));
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  nbthread 1
  maxconn 12000
  no strict-limits
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout client 60s
  timeout server 3s
  timeout connect 1s
  http-reuse always
  retries 1
  option redispatch 1
  retry-on conn-failure empty-response
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  balance random(2)
  option httpchk GET /healthz
  timeout check 1s
  default-server check inter 2s fastinter 500ms rise 2 fall 3 observe layer7 error-limit 5 on-error mark-down
${addresses.map((address, i) => `  server s${i} ${address}`).join('\n')}
`,
  );
  const child: ChildProcess = spawn('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
  await until(
    'HAProxy to answer',
    async () => (await ask(port, 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).status === 200,
    10_000,
  );
  const tell = (line: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let said = '';
      createConnection(socket)
        .on('error', reject)
        .on('data', (chunk) => (said += chunk))
        .on('end', () => resolve(said))
        .end(`${line}\n`);
    });
  const column = async (wanted: string): Promise<Map<string, number>> => {
    const [names, ...rows] = (await tell('show stat')).trim().split('\n');
    const at = names!.replace('# ', '').split(',').indexOf(wanted);
    return new Map(rows.map((row) => row.split(',')).map((row) => [`${row[0]}/${row[1]}`, Number(row[at] ?? 0)]));
  };
  return {
    port,
    async drain(address) {
      await tell(`set server ${names.get(address)} state drain`);
      await until(`${address} to be quiet`, async () => (await column('scur')).get(names.get(address)!) === 0);
    },
    async ready(address) {
      await tell(`set server ${names.get(address)} state ready`);
    },
    async transitions() {
      const downs = await column('chkdown');
      return [...names.values()].reduce((sum, name) => sum + (downs.get(name) ?? 0), 0);
    },
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
