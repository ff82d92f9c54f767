/**
 * check-stream: checks over Node's own sockets: those that need TLS or HTTP/2, for which the prober has no code.
 *
 * Rules
 * 1. The certificate is judged after the handshake, so that the evidence names what is wrong with it.
 * 2. One absolute deadline, connection and handshake included.
 */
import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import type { CheckResult } from '../../health/health.ts';
import type { CheckTlsPlan } from '../../state/plan.ts';
import {
  type Check,
  type CheckTarget,
  failed,
  failedByCode,
  type Heard,
  hostOf,
  nodePath,
  printable,
  type Script,
} from './check.ts';
import { checkLine } from './check-line.ts';
import { noWay } from './check-way.ts';

/** One try. The first end counts; the socket is destroyed by it. */
export interface Attempt {
  readonly socket: Socket;
  end(heard: Heard): void;
  /** Called when the attempt is over, for what else is open. */
  release: () => void;
}

/** Says what the check has to say, on a connection whose certificate was accepted. */
export type Speak = (attempt: Attempt) => void;

/** Made once for all endpoints of a pool: the certificates are parsed for each. */
const contexts = new WeakMap<CheckTlsPlan, SecureContext>();

/** Throws when the certificates cannot be read. */
function contextOf(tls: CheckTlsPlan): SecureContext {
  const known = contexts.get(tls);
  if (known !== undefined) return known;
  // A context takes a text without a certificate without a word.
  if (tls.ca !== null) new X509Certificate(tls.ca);
  const made = createSecureContext({ ca: tls.ca ?? getCACertificates('system') });
  contexts.set(tls, made);
  return made;
}

export class StreamCheck implements Check {
  private readonly target: CheckTarget;
  private readonly tls: CheckTlsPlan | null;
  private readonly alpn: string;
  private readonly speak: Speak;
  private readonly secureContext: SecureContext | null;

  constructor(target: CheckTarget, tls: CheckTlsPlan | null, alpn: string, speak: Speak) {
    this.target = target;
    this.tls = tls;
    this.alpn = alpn;
    this.speak = speak;
    this.secureContext = tls === null ? null : contextOf(tls);
  }

  start(ended: (result: CheckResult) => void): void {
    const began = performance.now();
    const { timeoutMs } = this.target.check;
    let wantsNext = 'connection';
    let isOver = false;
    const socket = this.connect();
    const attempt: Attempt = {
      socket,
      release: () => {},
      end: (heard) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        attempt.release();
        socket.destroy();
        ended({ ...heard, ms: performance.now() - began });
      },
    };
    const timer = setTimeout(() => {
      const reason = wantsNext === 'answer' ? 'http_response_timeout' : 'connection_timeout';
      attempt.end(failed(reason, `no ${wantsNext} within ${timeoutMs} ms`));
    }, timeoutMs);
    const open = (): void => {
      wantsNext = 'answer';
      try {
        this.speak(attempt);
      } catch (error) {
        // An authority that is none, and the like.
        attempt.end(failed('failed', printable((error as Error).message)));
      }
    };
    socket.on('error', (error: NodeJS.ErrnoException) => {
      attempt.end(noWay(error.code ?? '', this.target.address) ?? failedByStream(error));
    });
    socket.once('connect', () => {
      if (this.tls === null) open();
      else wantsNext = 'TLS handshake';
    });
    socket.once('secureConnect', () => {
      const { authorized, authorizationError } = socket as TLSSocket;
      if (this.tls?.verify !== true || authorized) open();
      else attempt.end(failed('tls_certificate_error', printable(String(authorizationError))));
    });
    socket.once('close', () => attempt.end(failed('connection_terminated', `closed before the ${wantsNext}`)));
  }

  private connect(): Socket {
    const { address, authority } = this.target;
    const where = address.kind === 'unix' ? { path: nodePath(address.path) } : { host: address.host, port: address.port };
    const line = checkLine(this.target.check.proxyProtocol);
    const plain = this.tls === null || line.length > 0 ? connectTcp(where) : null;
    // What is written before there is a connection goes out first, so ahead of the handshake.
    if (line.length > 0) plain!.write(line);
    if (this.tls === null) return plain!;
    const name = this.tls.serverName ?? hostOf(authority);
    const secure = connectTls({
      ...(plain === null ? where : { socket: plain }),
      // An address is no server name (RFC 6066 §3), but a certificate may be for one.
      servername: isIP(name) === 0 ? name : '',
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      rejectUnauthorized: false,
      secureContext: this.secureContext!,
      ALPNProtocols: [this.alpn],
    });
    // It does not take with it what it was not made with.
    if (plain !== null) secure.once('close', () => plain.destroy());
    return secure;
  }
}

/** A script over TLS: https. */
export function speakScript(script: Script): Speak {
  return (attempt) => {
    const hearing = script.begin();
    attempt.socket.on('data', (bytes: Buffer) => {
      const heard = hearing.hear(bytes);
      if (heard !== null) attempt.end(heard);
    });
    attempt.socket.on('end', () => attempt.end(hearing.end()));
    attempt.socket.write(script.opening ?? '');
  };
}

/** Errors of Node's sockets and of its TLS. */
export function failedByStream(error: NodeJS.ErrnoException): Heard {
  const code = error.code ?? '';
  const evidence = printable(code === '' ? error.message : code);
  if (/^ERR_SSL_.*ALERT/.test(code)) return failed('tls_alert_received', evidence);
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') return failed('tls_protocol_error', evidence);
  return code === '' ? failed('failed', evidence) : failedByCode(code);
}
