/**
 * check: what the kinds of checks have in common: the shape of a check, its conversation, the words for what went wrong.
 *
 * A kind is either a *script*, a conversation without sockets, carried by the prober (plain) or by check-tls, or a check of its own (grpc, exec).
 *
 * Rules
 * 1. A check ends exactly once, by its deadline at the latest, and never throws: what goes wrong is its result.
 * 2. Reasons are those of base/faults.ts where it has one; the rest is in docs/health.md.
 * 3. What the peer said stands in the evidence as printable ASCII, cut to EVIDENCE_CHARS_MAX.
 */
import { fault, faults } from '../../base/faults.ts';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { ActiveHealthPlan } from '../../state/plan.ts';
import { errnoName } from '../../sys/libc.ts';

/** What is checked. Pools that name the same address with the same check share one. */
export interface CheckTarget {
  readonly address: Address;
  readonly check: ActiveHealthPlan;
  /** Host and port as people write them, for Host, server names and commands: "app.internal:8080". */
  readonly authority: string;
  /** Pool of an exec check; else one of those that share it. */
  readonly pool: string;
}

/** One check, ready to be made again and again. Never twice at a time. */
export interface Check {
  start(ended: (result: CheckResult) => void): void;
}

/** What a conversation came to; the prober adds how long it took. */
export interface Heard {
  readonly passed: boolean;
  readonly reason: string;
  readonly evidence: string;
}

/** A conversation with an endpoint. */
export interface Script {
  /** Said as soon as there is a connection; null: a connection is all that is wanted. Empty: the endpoint speaks first. */
  readonly opening: Uint8Array | null;
  /** The reason when the endpoint says nothing in time. */
  readonly timeoutReason: string;
  /** The endpoint was asked to close when it has answered. */
  readonly endpointCloses: boolean;
  begin(): Hearing;
}

/** One conversation under way. */
export interface Hearing {
  /** Takes what has arrived, lent for the call. null: not decided yet. The first answer counts. */
  hear(bytes: Buffer): Heard | null;
  /** The endpoint has closed. */
  end(): Heard;
  /** Decided, and nothing more to come: closing now disturbs nobody. */
  readonly isOver: boolean;
}

export const EVIDENCE_CHARS_MAX = 120;

export const passed = (evidence: string): Heard => ({ passed: true, reason: 'ok', evidence });
export const failed = (reason: string, evidence: string): Heard => ({ passed: false, reason, evidence });

/** The endpoint closed before it had answered. */
export const cutOff = failed('connection_terminated', 'closed before it answered');

/** What a peer said, as it may stand in logs. */
export function printable(said: Uint8Array | string): string {
  const text =
    typeof said === 'string'
      ? said
      : Buffer.from(said.buffer, said.byteOffset, Math.min(said.length, EVIDENCE_CHARS_MAX)).toString('latin1');
  const cut = text.length > EVIDENCE_CHARS_MAX ? text.slice(0, EVIDENCE_CHARS_MAX) : text;
  return (/[^\x20-\x7e]/.test(cut) ? cut.replace(/[^\x20-\x7e]+/g, ' ') : cut).trim();
}

/**
 * Reason of a check that could not be made here: no local port, no descriptor, no memory. It says nothing of the endpoint, so it is neither passed
 * nor failed.
 */
export const NOT_MADE = 'not_made';

/** Reason of a check that found no way to the endpoint. */
export const UNROUTABLE: string = faults[fault.unroutable]!.reason;

/** What is missing, by the name of the system's error. */
const shortages: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'no local port is left to connect from',
  EMFILE: 'no descriptor is left',
  ENFILE: 'no descriptor is left on this machine',
  ENOBUFS: 'no memory is left for sockets',
  ENOMEM: 'no memory is left',
};

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection_refused',
  // No socket of that name.
  ENOENT: 'connection_refused',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
  ECONNABORTED: 'connection_terminated',
  EHOSTUNREACH: UNROUTABLE,
  ENETUNREACH: UNROUTABLE,
  ENETDOWN: UNROUTABLE,
  EHOSTDOWN: UNROUTABLE,
  EAFNOSUPPORT: UNROUTABLE,
  ETIMEDOUT: 'connection_timeout',
};

/** Does this error say that something is missing here? */
export const isShortage = (code: string): boolean => Object.hasOwn(shortages, code);

/** A system error by its name, "ECONNREFUSED", as a result. */
export function failedByCode(code: string): Heard {
  return isShortage(code) ? failed(NOT_MADE, `${shortages[code]} (${code})`) : failed(reasons[code] ?? 'failed', code);
}

/** An error of the kernel as a result. `errno` is positive. */
export const failedBy = (errno: number): Heard => failedByCode(errnoName(errno));

/** Where a check goes: the endpoint, or another port of its host. */
export function checkedAddress(address: Address, port: number): Address {
  return address.kind === 'ip' && port !== 0 ? { ...address, port } : address;
}

/** "app.internal:8080" of what the file calls "app.internal:8080", with the port of the check. A unix socket is "localhost". */
export function authorityOf(written: string, address: Address): string {
  if (address.kind === 'unix') return 'localhost';
  const found = /^(.+):\d+$/.exec(written);
  const host = found?.[1] ?? (address.host.includes(':') ? `[${address.host}]` : address.host);
  return `${host}:${address.port}`;
}

/** The host alone, without port and brackets. */
export function hostOf(authority: string): string {
  return authority.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/** Path of a unix socket as Node takes it: "@name" is the abstract namespace, as in sys/socket-address. */
export const nodePath = (path: string): string => (path.startsWith('@') ? '\0' + path.slice(1) : path);
