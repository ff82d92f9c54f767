/** Endpoints in a process of their own that fail on command. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { within } from '../support/wait.ts';

export class FailingEndpoint {
  readonly addresses: string[];
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, addresses: string[]) {
    this.child = child;
    this.addresses = addresses;
  }

  /** `hosts`: "127.0.0.1:0" chooses a port. */
  static async start(hosts: readonly string[] = ['127.0.0.1:0'], under: readonly string[] = []): Promise<FailingEndpoint> {
    const script = join(import.meta.dirname, 'endpoint.child.ts');
    const [command, ...before] = [...under, process.execPath];
    const child = fork(script, [JSON.stringify(hosts)], {
      execPath: command!,
      execArgv: before,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    });
    const [message] = await within('endpoints to listen', 20_000, once(child, 'message'));
    const { ports } = message as { ports: number[] };
    return new FailingEndpoint(
      child,
      hosts.map((host, i) => `${host.slice(0, host.lastIndexOf(':'))}:${ports[i]}`),
    );
  }

  get address(): string {
    return this.addresses[0]!;
  }
  get pid(): number {
    return this.child.pid!;
  }

  async mode(mode: string, ms = 0, only?: number[]): Promise<void> {
    const done = once(this.child, 'message');
    this.child.send({ mode, ms, only });
    await within(`endpoint to be ${mode}`, 10_000, done);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
