/** For tests of checks: scripted servers on ports of their own, and checks made by the real thing. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { ActiveHealthPlan } from '../../state/plan.ts';
import { authorityOf, type Check } from './check.ts';
import { Checks, type ChecksParts } from './checks.ts';

export type CheckKind<T extends ActiveHealthPlan['type']> = Omit<ActiveHealthPlan & { type: T }, keyof typeof timing> &
  Partial<typeof timing>;

const timing = {
  intervalMs: 1000,
  fastMs: 1000,
  idleMs: 1000,
  timeoutMs: 20_000,
  rise: 1,
  fall: 1,
  jitter: 0,
  port: 0,
  proxyProtocol: 0,
};

/** A plan of this kind, with timing of no interest. */
export function planOf<T extends ActiveHealthPlan['type']>(kind: CheckKind<T>): ActiveHealthPlan {
  return { ...timing, ...kind } as unknown as ActiveHealthPlan;
}

export type HttpKind = CheckKind<'http'>;

export function httpPlan(more: Partial<HttpKind> = {}): ActiveHealthPlan {
  return planOf<'http'>({
    type: 'http',
    method: 'GET',
    path: '/healthz',
    host: null,
    headers: [],
    expect: { status: [[200, 299]], body: null },
    tls: null,
    ...more,
  });
}

export const loopback = (port: number): Address => ({ kind: 'ip', host: '127.0.0.1', port });

/** The address of a server that says what `say` says. Closed with the test, its connections too. */
export async function peer(t: TestContext, say: (socket: Socket) => void, path?: string): Promise<Address> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    say(socket);
    // Or the end would not be seen.
    socket.resume();
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return await listening(server, path);
}

export async function listening(server: Server, path?: string): Promise<Address> {
  await new Promise<void>((resolve) => server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path }, resolve));
  return path === undefined ? loopback((server.address() as AddressInfo).port) : { kind: 'unix', path };
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  const { port } = (await listening(server)) as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Checks that are stopped with the test. */
export function checksOf(t: TestContext, parts: ChecksParts = {}): Checks {
  const checks = new Checks(parts);
  t.after(() => checks.stop());
  return checks;
}

export function make(checks: Checks, address: Address, check: ActiveHealthPlan, written = ''): Check {
  return checks.prepare({ address, check, authority: authorityOf(written, address), pool: 'web' });
}

export function run(check: Check): Promise<CheckResult> {
  return new Promise((resolve) => check.start(resolve));
}

/** Made again when the deadline, a short one, came before the connection: the machine stood still. */
export async function runConnected(make: () => Check): Promise<CheckResult> {
  let result = await run(make());
  for (let tries = 1; result.reason === 'connection_timeout' && tries < 5; tries++) result = await run(make());
  return result;
}

/** "ok: 200 OK". */
export const short = ({ reason, evidence }: CheckResult): string => `${reason}: ${evidence}`;
