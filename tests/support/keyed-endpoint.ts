/** An endpoint in a process of its own, so that it can be killed, stopped, and does not share the test's event loop. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { within } from './wait.ts';

export interface EndpointStats {
  requests: number;
  connections: number;
  open: number;
  aborted: number;
  finished: number;
}

export class KeyedEndpoint {
  readonly child: ChildProcess;
  readonly name: string;
  port = 0;

  private constructor(child: ChildProcess, name: string) {
    this.child = child;
    this.name = name;
  }

  static async start(name: string, port = 0): Promise<KeyedEndpoint> {
    const child = fork(join(import.meta.dirname, 'keyed-endpoint.child.ts'), [String(port), name], {
      execPath: process.execPath,
      execArgv: [],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    });
    const endpoint = new KeyedEndpoint(child, name);
    const [message] = await within(`endpoint ${name} to listen`, 15_000, once(child, 'message'));
    endpoint.port = (message as { port: number }).port;
    return endpoint;
  }

  static async startMany(count: number): Promise<KeyedEndpoint[]> {
    return Promise.all(Array.from({ length: count }, (_, index) => KeyedEndpoint.start(`e${index}`)));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stats(): Promise<EndpointStats> {
    this.child.send('stats');
    const [message] = await within(`stats of ${this.name}`, 15_000, once(this.child, 'message'));
    return (message as { stats: EndpointStats }).stats;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill(signal);
    await gone;
  }
}
