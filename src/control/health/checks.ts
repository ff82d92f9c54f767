/**
 * checks: makes the check of each kind, and sees that not too many are under way.
 *
 *     tcp, http, redis, postgres, mysql   a script over the prober
 *     http with TLS, grpc                 over Node's sockets (check-stream)
 *     exec                                a process (check-exec)
 */
import type { CheckResult } from '../../health/health.ts';
import type { ActiveHealthPlan } from '../../state/plan.ts';
import { type Check, type CheckTarget, failed, printable, type Script } from './check.ts';
import { mysqlScript, postgresScript, redisScript } from './check-databases.ts';
import { ExecCheck } from './check-exec.ts';
import { grpcCheck } from './check-grpc.ts';
import { httpScript } from './check-http.ts';
import { withLine } from './check-line.ts';
import { StreamCheck, speakScript } from './check-stream.ts';
import { Prober, type ProberParts } from './prober.ts';

/** Checks over Node's sockets at a time. */
const STREAMS_MAX = 128;
/** Commands at a time. */
const COMMANDS_MAX = 16;

/** Where commands are looked for when nothing is said (execvp(3), without the current folder). */
const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ChecksParts extends Pick<ProberParts, 'onTick'> {
  /** PATH of commands. */
  path?: string | undefined;
}

const connected: Script = {
  opening: null,
  timeoutReason: 'connection_timeout',
  endpointCloses: false,
  begin: () => {
    throw new Error('nothing is heard where only a connection is wanted');
  },
};

export class Checks {
  private readonly prober: Prober;
  private readonly streams: Gate;
  private readonly commands: Gate;
  private readonly path: string;

  constructor(parts: ChecksParts = {}) {
    this.prober = new Prober(parts);
    this.streams = new Gate(STREAMS_MAX);
    this.commands = new Gate(COMMANDS_MAX);
    this.path = parts.path ?? PATH_DEFAULT;
  }

  /** The check of a target, to be made many times. What cannot be made is a check that fails and says why. */
  prepare(target: CheckTarget): Check {
    try {
      return this.make(target, target.check);
    } catch (error) {
      return impossible((error as Error).message);
    }
  }

  /** Nothing is heard any more of plain checks under way; others end by their deadlines. */
  stop(): void {
    this.prober.stop();
  }

  private make(target: CheckTarget, check: ActiveHealthPlan): Check {
    switch (check.type) {
      case 'tcp':
        return this.plain(target, connected);
      case 'redis':
        return this.plain(target, redisScript);
      case 'postgres':
        return this.plain(target, postgresScript);
      case 'mysql':
        return this.plain(target, mysqlScript);
      case 'grpc':
        return this.streams.guard(grpcCheck(target, check.service, check.host, check.tls));
      case 'exec':
        return this.commands.guard(new ExecCheck(target, check.command, this.path));
      case 'http': {
        const { method, path, headers, expect, tls } = check;
        const host = check.host ?? target.authority;
        const script = httpScript({ method, path, host, headers, status: expect.status, body: expect.body });
        if (typeof script === 'string') return impossible(script);
        if (tls === null) return this.plain(target, script);
        return this.streams.guard(new StreamCheck(target, tls, 'http/1.1', speakScript(script)));
      }
    }
  }

  private plain({ address, check }: CheckTarget, script: Script): Check {
    const { prober } = this;
    const plain = Prober.check(address, withLine(script, check.proxyProtocol), check.timeoutMs);
    return { start: (ended) => prober.start(plain, ended) };
  }
}

function impossible(why: string): Check {
  const { passed, reason, evidence } = failed('failed', printable(why));
  return { start: (ended) => setImmediate(ended, { passed, reason, evidence, ms: 0 }) };
}

/** Lets so many checks be under way; the others wait in order. */
export class Gate {
  private readonly max: number;
  private count = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(max: number) {
    this.max = max;
  }

  guard(check: Check): Check {
    return {
      start: (ended) => {
        if (this.count >= this.max) this.waiting.push(() => this.enter(check, ended));
        else this.enter(check, ended);
      },
    };
  }

  private enter(check: Check, ended: (result: CheckResult) => void): void {
    this.count++;
    check.start((result) => {
      this.count--;
      this.waiting.shift()?.();
      ended(result);
    });
  }
}
