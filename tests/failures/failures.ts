/**
 * The ways in which endpoints fail, each as a short story under load, told alike to any balancer. What was lost is counted from the client's side:
 * failed requests, and good answers that took longer than a second.
 *
 * Load is RATE requests a second over CONNECTIONS kept connections; a request that hangs holds its connection, as a user waits.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { describeLoad, failed, Load, type LoadResult } from '../support/load.ts';
import { freePort } from '../support/system.ts';
import type { Balancer, Start } from './balancer.ts';
import { FailingEndpoint } from './endpoint.ts';

const RATE = 400;
const CONNECTIONS = 80;
/** Before the failure, and how long it lasts. */
const CALM_MS = 1500;
const FAILING_MS = 6000;

export interface Story {
  name: string;
  /** What happens, for the table. */
  what: string;
  /** Null: it can be told here. */
  missing?: () => string | null;
  tell(start: Start): Promise<Outcome>;
}

export interface Outcome {
  requests: number;
  failed: number;
  slow: number;
  /** Longest time without a good answer, ms. */
  gapMs: number;
  transitions: number;
  load: LoadResult;
}

function outcome(load: LoadResult, transitions: number): Outcome {
  const lost = failed(load);
  return { requests: load.counts.ok + lost, failed: lost, slow: load.slow, gapMs: load.longestGapMs, transitions, load };
}

/** Load over a balancer before these endpoints while `story` happens. */
async function under(
  start: Start,
  endpoints: readonly FailingEndpoint[],
  story: (balancer: Balancer) => Promise<void>,
): Promise<Outcome> {
  const balancer = await start(endpoints.flatMap(({ addresses }) => addresses));
  const load = new Load({ port: balancer.port, connections: CONNECTIONS, rate: RATE, sizeMin: 64, sizeMax: 2000 });
  try {
    await load.more((RATE * CALM_MS) / 1000);
    await story(balancer);
    const transitions = await balancer.transitions();
    return outcome(await load.stop(), transitions);
  } finally {
    load.kill();
    await balancer.stop();
    for (const endpoint of endpoints) await endpoint.kill();
  }
}

const many = (count: number): Promise<FailingEndpoint[]> =>
  Promise.all(Array.from({ length: count }, () => FailingEndpoint.start()));

/** One of three fails in this way, and stays so. */
function oneOfThree(name: string, what: string, fail: (bad: FailingEndpoint) => void | Promise<void>): Story {
  return {
    name,
    what,
    async tell(start) {
      const endpoints = await many(3);
      return under(start, endpoints, async () => {
        await fail(endpoints[0]!);
        await wait(FAILING_MS);
      });
    },
  };
}

export const stories: readonly Story[] = [
  oneOfThree('killed', 'one of three dies (kill -9)', (bad) => bad.kill()),
  oneOfThree('stopped', 'one of three stands still (SIGSTOP)', (bad) => bad.signal('SIGSTOP')),
  oneOfThree('resets', 'one of three resets every connection', (bad) => bad.mode('reset')),
  oneOfThree('garbage', 'one of three answers with bytes that are no HTTP', (bad) => bad.mode('garbage')),
  oneOfThree('hangs', 'one of three answers /healthz and nothing else', (bad) => bad.mode('hang')),
  oneOfThree('drips', 'one of three sends its answer a byte a second, and /healthz at once', (bad) => bad.mode('drip', 1000)),
  oneOfThree('500', 'one of three answers 500 to all but /healthz', (bad) => bad.mode('500')),
  oneOfThree('503', 'one of three answers 503 to all but /healthz', (bad) => bad.mode('503')),
  oneOfThree('late', 'one of three takes 1.5 s longer, and answers /healthz at once', (bad) => bad.mode('late', 1500)),
  {
    name: 'half-open',
    what: 'the network loses all packets of one of three: connections stay open, nobody answers',
    missing: () => (process.getuid?.() === 0 ? null : 'making a network namespace takes root'),
    async tell(start) {
      const far = new FarHost();
      try {
        const endpoints = [await FailingEndpoint.start([`${far.address}:0`], far.under), ...(await many(2))];
        return await under(start, endpoints, async () => {
          far.vanish();
          await wait(FAILING_MS);
        });
      } finally {
        far.remove();
      }
    },
  },
  {
    name: 'flapping',
    what: 'one of three is there for 700 ms and gone for 300 ms, eight times',
    async tell(start) {
      const endpoints = await many(3);
      return under(start, endpoints, async () => {
        for (let i = 0; i < 8; i++) {
          await endpoints[0]!.mode('gone');
          await wait(300);
          await endpoints[0]!.mode('ok');
          await wait(700);
        }
      });
    },
  },
  {
    name: 'all down',
    what: 'all three are gone for 3 s and come back',
    async tell(start) {
      const endpoints = await many(3);
      return under(start, endpoints, async () => {
        await Promise.all(endpoints.map((endpoint) => endpoint.mode('gone')));
        await wait(3000);
        await Promise.all(endpoints.map((endpoint) => endpoint.mode('ok')));
        await wait(5000);
      });
    },
  },
  {
    name: 'pool of 500',
    what: 'fifty of five hundred die at once',
    async tell(start) {
      const port = await freePort();
      const hosts = Array.from({ length: 500 }, (_, i) => `127.1.${i >> 8}.${i & 255}:${port}`);
      const endpoints = [await FailingEndpoint.start(hosts.slice(0, 50)), await FailingEndpoint.start(hosts.slice(50))];
      return under(start, endpoints, async () => {
        await endpoints[0]!.kill();
        await wait(FAILING_MS);
      });
    },
  },
  {
    name: 'rolling deploy',
    what: 'ten endpoints are drained, replaced and put back one after the other',
    async tell(start) {
      const endpoints = await many(10);
      return under(start, endpoints, async (balancer) => {
        for (let i = 0; i < endpoints.length; i++) {
          const { address } = endpoints[i]!;
          await balancer.drain(address);
          await endpoints[i]!.kill();
          endpoints[i] = await FailingEndpoint.start([address]);
          await balancer.ready(address);
        }
      });
    },
  },
];

let farHosts = 0;

/** A host of its own behind a virtual cable: a network namespace. */
class FarHost {
  readonly address: string;
  readonly under: readonly string[];
  private readonly name: string;
  private readonly near: string;

  constructor() {
    const number = farHosts++;
    this.name = `weir-far-${process.pid}-${number}`;
    this.near = `wf${process.pid % 100_000}x${number}`;
    this.address = `198.18.${number}.2`;
    this.under = ['ip', 'netns', 'exec', this.name];
    ip('netns', 'add', this.name);
    ip('link', 'add', this.near, 'type', 'veth', 'peer', 'name', 'far0', 'netns', this.name);
    ip('addr', 'add', `198.18.${number}.1/30`, 'dev', this.near);
    ip('link', 'set', this.near, 'up');
    ip('-n', this.name, 'addr', 'add', `${this.address}/30`, 'dev', 'far0');
    ip('-n', this.name, 'link', 'set', 'far0', 'up');
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
  }

  /** From now on it takes no packet and sends none; no cable is seen to be pulled. */
  vanish(): void {
    ip('-n', this.name, 'addr', 'flush', 'dev', 'far0');
    ip('-n', this.name, 'link', 'set', 'far0', 'arp', 'off');
  }

  remove(): void {
    ip('netns', 'del', this.name);
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export { describeLoad };
