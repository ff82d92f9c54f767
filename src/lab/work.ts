/** Work: what servers do with the tries they were sent. The model of the endpoints: a line and so many places, and log-normal times. */
import { Agenda } from './agenda.ts';
import type { Arrivals } from './arrivals.ts';
import type { Measures } from './measures.ts';
import { NOBODY, type Server } from './server.ts';
import type { Tries } from './tries.ts';

/** z of the 99th percentile of the normal distribution. */
const Z99 = 2.3263478740408408;

export class Work {
  private readonly arrivals: Arrivals;
  private readonly measures: Measures;
  private readonly servers: readonly Server[];
  private readonly tries: Tries;
  private readonly durationMs: number;
  /** Ends, by try. */
  private readonly ends = new Agenda();

  constructor(durationMs: number, arrivals: Arrivals, measures: Measures, servers: readonly Server[], tries: Tries) {
    this.durationMs = durationMs;
    this.arrivals = arrivals;
    this.measures = measures;
    this.servers = servers;
    this.tries = tries;
  }

  /** When some work ends. */
  get nextMs(): number {
    return this.ends.nextMs;
  }

  /** A server takes a try, to work on it or into its line, which is not full. */
  add(id: number, server: Server, now: number): void {
    if (server.hasFreePlace) this.begin(id, server, now);
    else server.enqueue(id, this.tries.next);
  }

  /** The next work ends, and its server turns to the next in its line. Returns the try, or NOBODY: the process that worked on it is gone. */
  end(now: number): number {
    const { tries } = this;
    const id = this.ends.take();
    const server = this.servers[tries.servers[id]!]!;
    if (tries.lives[id] !== server.life) return NOBODY;
    server.running--;
    // What is finished after the end of the scenario was at work up to the end.
    server.busyMs += Math.max(0, Math.min(now, this.durationMs) - (now - tries.workMs[id]!));
    const waiting = this.nextInLine(server);
    if (waiting !== NOBODY) this.begin(waiting, server, now);
    return id;
  }

  private begin(id: number, server: Server, now: number): void {
    const ms = this.serviceMs(this.tries.requests[id]!, server);
    server.running++;
    this.tries.workMs[id] = ms;
    this.ends.add(now + ms, id);
  }

  /** A server does not see that a client gave up: a try that timed out at work is served to the end, one that timed out in line is not begun. */
  private nextInLine(server: Server): number {
    const { tries } = this;
    for (;;) {
      const id = server.dequeue(tries.next);
      if (id === NOBODY || tries.isOpen[id] === 1) return id;
    }
  }

  private serviceMs(request: number, server: Server): number {
    const { recordedMs, normals, costs, keys } = this.arrivals;
    const { p50Ms, p99Ms } = server.service;
    const recorded = recordedMs === null ? -1 : recordedMs[request]!;
    const base = recorded >= 0 ? recorded : p50Ms * Math.exp((Math.log(p99Ms / p50Ms) / Z99) * normals[request]!);
    const missMs = server.missMs(keys[request]!);
    if (missMs > 0) this.measures.missed(request, server);
    return base * costs[request]! * server.timesSlower + missMs;
  }
}
