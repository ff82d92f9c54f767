/**
 * Probe: one check of one address over the network, with Node's own sockets. Every check has one absolute deadline, from the first packet to the
 * last byte that matters, so a peer that trickles cannot hold it.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { type Address, addressText } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { ActiveHealthPlan } from '../../state/plan.ts';

/** Read of a body that `expect.body` is looked for in. */
const BODY_BYTES_MAX = 64 * 1024;
/** Head of an answer to a check. */
const HEAD_BYTES_MAX = 16 * 1024;

/** Words of errors, as in base/faults where there is one. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection_refused',
  ENOENT: 'connection_refused',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
  EHOSTUNREACH: 'destination_ip_unroutable',
  ENETUNREACH: 'destination_ip_unroutable',
  ETIMEDOUT: 'connection_timeout',
  HPE_HEADER_OVERFLOW: 'http_response_header_section_size',
};

/** Where a check goes: the endpoint, or another port of its host. */
export function checkedAddress(address: Address, port: number): Address {
  return address.kind === 'ip' && port !== 0 ? { ...address, port } : address;
}

export function probe(address: Address, check: ActiveHealthPlan): Promise<CheckResult> {
  return check.type === 'http' ? probeHttp(address, check) : probeTcp(address, check.timeoutMs);
}

const failed = (error: NodeJS.ErrnoException): [string, string] => {
  const code = error.code ?? '';
  return [reasons[code] ?? (code.startsWith('HPE_') ? 'http_protocol_error' : 'failed'), code === '' ? error.message : code];
};

function probeTcp(address: Address, timeoutMs: number): Promise<CheckResult> {
  return new Promise((resolve) => {
    const began = performance.now();
    const socket = connect(address.kind === 'unix' ? { path: pathOf(address.path) } : { host: address.host, port: address.port });
    const end = (passed: boolean, reason: string, evidence: string): void => {
      clearTimeout(timer);
      // A reset spares both sides a TIME_WAIT per check.
      if (passed && address.kind === 'ip') socket.resetAndDestroy();
      else socket.destroy();
      resolve({ passed, reason, evidence, ms: performance.now() - began });
    };
    const timer = setTimeout(() => end(false, 'connection_timeout', `no connection within ${timeoutMs} ms`), timeoutMs);
    socket.once('connect', () => end(true, 'ok', 'connected'));
    socket.on('error', (error) => end(false, ...failed(error)));
  });
}

/** "@name" is the abstract namespace, as in sys/socket-address. */
const pathOf = (path: string): string => (path.startsWith('@') ? '\0' + path.slice(1) : path);

function probeHttp(address: Address, check: ActiveHealthPlan & { type: 'http' }): Promise<CheckResult> {
  return new Promise((resolve) => {
    const began = performance.now();
    let isOver = false;
    let isConnected = false;
    let outgoing: ClientRequest | null = null;
    const end = (passed: boolean, reason: string, evidence: string): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      outgoing?.destroy();
      resolve({ passed, reason, evidence, ms: performance.now() - began });
    };
    const timer = setTimeout(() => {
      const reason = isConnected ? 'http_response_timeout' : 'connection_timeout';
      end(false, reason, `no ${isConnected ? 'answer' : 'connection'} within ${check.timeoutMs} ms`);
    }, check.timeoutMs);
    const headers: Record<string, string | string[]> = Object.create(null);
    headers['host'] = check.host ?? (address.kind === 'unix' ? 'localhost' : addressText(address));
    headers['user-agent'] = 'weir-check';
    for (const { name, value } of check.headers) {
      const before = headers[name.toLowerCase()];
      headers[name.toLowerCase()] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    }
    try {
      outgoing = request({
        ...(address.kind === 'unix' ? { socketPath: pathOf(address.path) } : { host: address.host, port: address.port }),
        method: check.method,
        path: check.path,
        headers,
        agent: false,
        maxHeaderSize: HEAD_BYTES_MAX,
        setHost: false,
      });
    } catch (error) {
      end(false, 'failed', (error as Error).message);
      return;
    }
    outgoing.once('socket', (socket) => socket.once('connect', () => (isConnected = true)));
    outgoing.on('error', (error) => end(false, ...failed(error)));
    outgoing.once('upgrade', (_response, socket) => {
      socket.destroy();
      end(false, 'status', '101');
    });
    outgoing.once('response', (response) => judge(response, check, end));
    outgoing.end();
  });
}

function judge(
  response: IncomingMessage,
  check: ActiveHealthPlan & { type: 'http' },
  end: (passed: boolean, reason: string, evidence: string) => void,
): void {
  const status = response.statusCode ?? 0;
  const evidence = `${status} ${response.statusMessage ?? ''}`.trim().slice(0, 80);
  const { body } = check.expect;
  const isExpected = check.expect.status.some(([from, to]) => status >= from && status <= to);
  if (!isExpected || body === null) {
    end(isExpected, isExpected ? 'ok' : 'status', evidence);
    return;
  }
  let seen = '';
  response.setEncoding('latin1');
  const wanted = Buffer.from(body, 'utf8').toString('latin1');
  response.on('data', (text: string) => {
    seen += text;
    if (seen.includes(wanted)) end(true, 'ok', evidence);
    else if (seen.length > BODY_BYTES_MAX) end(false, 'body', `${evidence}, without the expected text in its first 64 KiB`);
  });
  response.on('end', () => end(false, 'body', `${evidence}, without the expected text`));
  response.on('error', (error) => end(false, ...failed(error)));
}
