/** A world whose endpoints do nothing by themselves: the test says what they answer, one request at a time. */
import { Peer } from '../../src/io/memory.ts';
import { World, type WorldOptions } from './world.ts';

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
export const BUSY = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';

export class Scripted {
  readonly w: World;
  /** Ends of connections to endpoints, in the order they came. */
  readonly ends: Peer[] = [];

  constructor(options: Partial<WorldOptions>) {
    this.w = new World({ seed: 9, splitting: 'whole', ...options });
    this.w.endpointTaker.take = (wire) => this.ends.push(new Peer(this.w.engine).take(wire));
  }

  until(condition: () => boolean, ms = 1000): void {
    this.w.engine.runUntil(condition, ms);
  }

  /** Runs until this many connections have received a whole request head, and returns the last of them. */
  asked(count: number, ms = 1000): Peer {
    const { ends } = this;
    this.until(() => ends.length >= count && ends[count - 1]!.text().includes('\r\n\r\n'), ms);
    return ends[count - 1]!;
  }
}
