/**
 * Load: a process that asks keyed questions over raw sockets and counts every outcome. What the tests call "zero failed" is `failed(result) === 0`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until, within } from './wait.ts';

export interface LoadPlan {
  port: number;
  connections: number;
  /** Ends after so many seconds, after so many requests, or at stop(). */
  seconds?: number;
  requests?: number;
  /** Requests a second over all connections; as fast as it goes when absent. */
  rate?: number;
  /** Requests asked ahead on a connection. 1. */
  pipeline?: number;
  /** keyed: GET; echo: POST with a length; chunked: POST in chunks; mixed: any of them. */
  kind?: 'keyed' | 'echo' | 'chunked' | 'mixed';
  /** Bytes of body, uniform between the two. 0..512. */
  sizeMin?: number;
  sizeMax?: number;
  /** Requests are cut at random places, each piece in a write of its own. */
  splits?: boolean;
  /** Then `Connection: close` and a new connection. */
  requestsPerConnection?: number;
  timeoutMs?: number;
  seed?: number;
  host?: string;
  localAddress?: string;
}

export type Outcome =
  | 'ok'
  /** Any status but 200. */
  | 'status'
  | 'wrongBody'
  /** Bytes that are no HTTP, or an answer nobody asked for. */
  | 'protocol'
  | 'refused'
  /** A reset, no byte of the answer seen. */
  | 'reset'
  /** A FIN instead of an answer. */
  | 'closed'
  /** Ended inside an answer. */
  | 'truncated'
  | 'timeout';

export interface LoadFailure {
  outcome: Outcome;
  /** Ms since 1970. */
  at: number;
  askedAt: number;
  /** The client's port, 0 when it was not connected. */
  port: number;
  detail: string;
  status: number;
  endpoint: string;
  /** The head of the answer had arrived. */
  answerBegun: boolean;
}

export interface LoadResult {
  counts: Record<Outcome, number>;
  failures: LoadFailure[];
  statuses: Record<number, number>;
  byEndpoint: Record<string, number>;
  connections: number;
  bytes: number;
  slowestMs: number;
  /** Good answers that took longer than a second. */
  slow: number;
  /** The longest time without a good answer. */
  longestGapMs: number;
}

export function failed(result: LoadResult): number {
  return Object.entries(result.counts).reduce((sum, [outcome, count]) => (outcome === 'ok' ? sum : sum + count), 0);
}

/** For assertion messages: counts and the first failures. */
export function describeLoad(result: LoadResult): string {
  const { failures, ...rest } = result;
  return `${JSON.stringify(rest)}\n${failures
    .slice(0, 10)
    .map((failure) => JSON.stringify(failure))
    .join('\n')}`;
}

export class Load {
  private readonly child: ChildProcess;
  private readonly ended: Promise<LoadResult>;

  constructor(plan: LoadPlan) {
    this.child = fork(join(import.meta.dirname, 'load.child.ts'), [JSON.stringify(plan)], {
      execPath: process.execPath,
      execArgv: [],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on('message', (message: { result?: LoadResult }) => {
        if (message.result !== undefined) resolve(message.result);
      });
      this.child.on('exit', (code, signal) => reject(new Error(`the load generator exited with ${code ?? signal}`)));
    });
    this.ended.catch(() => {});
  }

  /** Counts so far. */
  async progress(): Promise<Record<Outcome, number>> {
    this.child.send('progress');
    while (true) {
      const [message] = await within('progress of the load', 15_000, once(this.child, 'message'));
      if (message.progress !== undefined) return message.progress;
    }
  }

  /** Waits until `count` more requests were answered well than now. */
  async more(count: number, withinMs = 20_000): Promise<void> {
    const { ok } = await this.progress();
    await until(`${count} more good answers`, async () => (await this.progress()).ok >= ok + count, withinMs, 20);
  }

  async stop(): Promise<LoadResult> {
    if (this.child.connected) this.child.send('stop');
    return within('the load to stop', 30_000, this.ended);
  }

  /** Waits for the end the plan gave it. */
  done(withinMs: number): Promise<LoadResult> {
    return within('the load to be done', withinMs, this.ended);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
