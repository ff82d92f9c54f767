/**
 * Client: how commands talk to a running instance, over its admin address.
 *
 * Rules
 * 1. What cannot be done is a {@link ClientFault} with an exit code and a sentence; main.ts never sees another error of a socket.
 * 2. The address: the flag, the configuration's (a unix socket first), 127.0.0.1:9900.
 */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { type Address, addressText } from '../base/wire.ts';
import { exit, type Shell, UsageError } from './shell.ts';

/** An instance that lives answers at once; one that is stopped or swapped out does not. */
const ANSWER_MS_MAX = 5000;
/** 16384 endpoints with all their numbers are about 10 MB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const DEFAULT: Address = { kind: 'ip', host: '127.0.0.1', port: 9900 };

export interface ClientOptions {
  /** -a, --admin. */
  admin?: string;
  config?: string[];
  json?: boolean;
}

/** Why a command could not do what it was asked. */
export class ClientFault extends Error {
  override name = 'ClientFault';
  readonly code: number;
  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

/** Runs a command; its ClientFault becomes a line on stderr and its exit code. */
export async function withFaults(shell: Shell, command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    if (!(error instanceof ClientFault)) throw error;
    shell.err(`weir: ${error.message}\n`);
    return error.code;
  }
}

/** The client of the instance that the options mean. */
export async function clientOf(options: ClientOptions, shell: Shell): Promise<Client> {
  if (options.admin !== undefined) return new Client(adminAddress(options.admin));
  return new Client((await configured(options.config, shell)) ?? DEFAULT);
}

/** "127.0.0.1:9900", ":9900", "[::1]:9900", "localhost:9900", "unix:/run/weir/admin.sock" or the bare path. */
export function adminAddress(text: string): Address {
  const path = text.startsWith('unix:') ? text.slice(5) : text.startsWith('/') ? text : '';
  if (path !== '') return { kind: 'unix', path };
  const parts = /^(?:https?:\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})\/?$/.exec(text);
  if (parts === null || Number(parts[2]) > 65535 || text.startsWith('https:'))
    throw new UsageError(`expected an admin address, for example 127.0.0.1:9900 or unix:/run/weir/admin.sock, not '${text}'`);
  const host = parts[1]!.replace(/^\[|\]$/g, '');
  return { kind: 'ip', host: host === '' ? '127.0.0.1' : host, port: Number(parts[2]) };
}

/** The admin address of the configuration; null when there is none to read. */
async function configured(named: readonly string[] | undefined, shell: Shell): Promise<Address | null> {
  const { findConfig, formatFaults, loadConfig } = await import('../control/config/config.ts');
  const isNamed = named !== undefined && named.length > 0;
  const found = isNamed ? null : findConfig(shell.folder, existsSync);
  if (!isNamed && found === null) return null;
  const paths = isNamed ? named : [found!];
  const { plan, faults } = await loadConfig(
    paths.map((path) => (path === '-' ? path : resolve(shell.folder, path))),
    // Whoever may ask an instance how it is need not be one who may read its keys.
    { env: shell.environment, withoutCertificates: true },
  );
  if (plan === null) {
    // One that merely lies here need not be the instance's.
    if (!isNamed) return null;
    throw new ClientFault(exit.configInvalid, `the configuration has errors\n${formatFaults(faults, { color: shell.color })}`);
  }
  const { listen } = plan.admin;
  if (listen.length === 0)
    throw new ClientFault(exit.noAnswer, `${paths.join(', ')} has no admin address (admin.listen is empty)`);
  return reachable(listen.find(({ kind }) => kind === 'unix') ?? listen[0]!);
}

/** An address to connect to: that of all addresses stands for this machine's own. */
function reachable(address: Address): Address {
  if (address.kind === 'unix') return address;
  const host = address.host === '0.0.0.0' || address.host === '' ? '127.0.0.1' : address.host === '::' ? '::1' : address.host;
  return { ...address, host };
}

export class Client {
  readonly address: Address;

  constructor(address: Address) {
    this.address = address;
  }

  get(path: string): Promise<unknown> {
    return this.ask('GET', path);
  }
  post(path: string, body: unknown): Promise<unknown> {
    return this.ask('POST', path, body);
  }
  patch(path: string, body: unknown): Promise<unknown> {
    return this.ask('PATCH', path, body);
  }

  private async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const { status, isOurs, text } = await this.exchange(method, path, body === undefined ? null : JSON.stringify(body));
    if (!isOurs) throw new ClientFault(exit.noAnswer, `what answers at ${addressText(this.address)} is not weir's admin address`);
    const answer = JSON.parse(text) as { detail?: string };
    if (status < 300) return answer;
    const detail = answer.detail ?? `status ${status}`;
    const codes: Readonly<Record<number, number>> = { 400: exit.usage, 404: exit.noSuchObject, 412: exit.conflict };
    throw new ClientFault(codes[status] ?? exit.failed, detail);
  }

  private exchange(
    method: string,
    path: string,
    body: string | null,
  ): Promise<{ status: number; isOurs: boolean; text: string }> {
    const { address } = this;
    const where = address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port };
    const headers: Record<string, string> = { accept: 'application/json' };
    // A name that was typed is not for the guard against rebinding; what it resolves to is asked by this process anyway.
    if (address.kind === 'ip' && isIP(address.host) === 0) headers['host'] = `localhost:${address.port}`;
    if (body !== null) headers['content-type'] = 'application/json';
    return new Promise((done, failed) => {
      const fail = (error: NodeJS.ErrnoException): void =>
        failed(
          new ClientFault(exit.noAnswer, `no answer from ${addressText(address)}: ${reasonOf(error)}; -a names another address`),
        );
      const sent = request({ ...where, path, method, headers, agent: false, timeout: ANSWER_MS_MAX }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_BYTES_MAX) sent.destroy(new Error('the answer is too long'));
        });
        response.on('error', fail);
        response.on('end', () =>
          done({
            status: response.statusCode!,
            isOurs: response.headers['weir-api'] === 'v1',
            text,
          }),
        );
      });
      sent.on('timeout', () => sent.destroy(new Error(`nothing within ${ANSWER_MS_MAX / 1000} s`)));
      sent.on('error', fail);
      sent.end(body ?? undefined);
    });
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'connection refused, so no instance runs there';
    case 'ENOENT':
      return 'there is no such socket, so no instance runs there';
    case 'EACCES':
      return 'permission denied';
    default:
      return error.message;
  }
}

/** What /api/v1/endpoints says of one. */
export interface EndpointRow {
  pool: string;
  address: string;
  weight: number;
  weightPercent?: number;
  weightStatus?: { since: string | null; reason: string } | null;
  isBackup: boolean;
  zone: string | null;
  requestsMax?: number | null;
  status: { state: string; since: string | null; reason: string | null; evidence: readonly string[] };
  inFlight: number;
  requests: number;
  requestsPerSecond: number | null;
  ejection: { cause: string | null; count: number; returnsAt: string | null } | null;
  /** What follows is missing where it has no slot in the state table. */
  slowStart?: { share: number } | null;
  tunnels?: number;
  faults?: number;
  timeouts?: number;
  gatewayErrors?: number;
  responseSeconds?: number;
  connections?: { idle: number; busy: number };
  checks?: { passed: number; failed: number; notMade?: number };
}

/** The answer to a change: the endpoint as it is now. */
export interface ChangedRow extends EndpointRow {
  /** Endpoints of its pool that take new requests. */
  readyInPool: number;
}

/** Path of an endpoint in the API. */
export function endpointPath(pool: string, address: string): string {
  return `/api/v1/pools/${encodeURIComponent(pool)}/endpoints/${encodeURIComponent(address)}`;
}

/** The endpoint that POOL/ENDPOINT names. Names of pools and addresses may hold slashes, so all are looked at. */
export async function findEndpoint(client: Client, name: string): Promise<EndpointRow> {
  const { items } = (await client.get('/api/v1/endpoints')) as { items: EndpointRow[] };
  const found = items.find(({ pool, address }) => `${pool}/${address}` === name);
  if (found !== undefined) return found;
  const inPool = items.filter(({ pool }) => name === pool || name.startsWith(`${pool}/`));
  const nearest = inPool.length > 0 ? inPool : items;
  const known = nearest.slice(0, 10).map(({ pool, address }) => `${pool}/${address}`);
  const more = nearest.length > known.length ? ` and ${nearest.length - known.length} more` : '';
  throw new ClientFault(
    exit.noSuchObject,
    `there is no endpoint ${name}; there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ') || 'none'}${more}`,
  );
}
