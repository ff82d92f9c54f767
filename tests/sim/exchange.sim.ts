/**
 * The simulation for as long as wanted: node tests/sim/exchange.sim.ts --seconds 60 --seed 1000
 * Every seed draws its own world; the first failure ends the run and names the seed.
 */
import { parseArgs } from 'node:util';
import { Prng } from '../../src/base/prng.ts';
import { World } from './world.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } } });
const end = performance.now() + Number(values.seconds) * 1000;
let seed = Number(values.seed);
let requests = 0;
for (; performance.now() < end; seed++) {
  const dice = new Prng(seed);
  const clients = dice.between(1, 24);
  const each = dice.between(1, 20);
  try {
    const world = new World({
      seed,
      endpoints: dice.between(1, 4),
      kernelBytesMax: dice.between(1, 64) * 512,
      bodyBytesMax: dice.between(1, 150_000),
      ...(dice.chance(30) ? { wiresMax: dice.between(1, 4) } : {}),
      ...(dice.chance(40) ? { requestsMax: dice.between(1, 4), queueMax: dice.below(20), queueMs: dice.between(1, 500) } : {}),
      sticky: dice.chance(40),
      pipelines: dice.chance(50),
      ...(dice.chance(20)
        ? {
            breaker: {
              requestsMax: dice.below(10),
              pendingMax: dice.below(5),
              retriesMax: dice.below(3),
              isShadow: dice.chance(30),
            },
          }
        : {}),
      ...(dice.chance(30) ? { fallback: dice.between(1, 2) } : {}),
      flaps: dice.chance(30),
      retry: {
        attempts: dice.between(1, 5),
        on: dice.chance(50) ? ['connect', 'reset'] : ['connect', 'reset', 'timeout', '502', '503', '504'],
        budget: dice.chance(50) ? 0.2 : 1,
        hedgeMs: dice.chance(40) ? dice.between(1, 100) : 0,
        perTryMs: dice.chance(20) ? dice.between(20, 400) : 0,
      },
      ...(dice.chance(30) ? { timeouts: { requestMs: dice.between(50, 2000) } } : {}),
      behaviour: {
        closesAfter: dice.chance(50) ? dice.below(60) : 0,
        diesBefore: dice.chance(50) ? dice.below(30) : 0,
        diesInBody: dice.chance(50) ? dice.below(30) : 0,
        babbles: dice.chance(30) ? dice.below(20) : 0,
        hangs: dice.chance(20) ? dice.below(10) : 0,
        dawdles: dice.chance(50) ? dice.below(80) : 0,
        refuses: dice.chance(30) ? dice.below(20) : 0,
      },
      manners: { dawdles: dice.chance(40) ? dice.below(20) : 0, leaves: dice.chance(40) ? dice.below(10) : 0 },
      refusing: dice.chance(20) ? 1 : 0,
      deaf: dice.chance(20) ? 1 : 0,
      sabotage: dice.chance(40),
      reloads: dice.chance(30),
      lineVersion: dice.chance(25) ? (dice.chance(50) ? 1 : 2) : 0,
      warm: dice.chance(20) ? dice.between(1, 3) : 0,
    });
    for (let i = 0; i < clients; i++) world.client(each);
    world.finish(clients * each);
    requests += clients * each;
  } catch (error) {
    process.stderr.write(`seed ${seed} failed after ${requests} requests\n`);
    throw error;
  }
}
process.stdout.write(
  `${requests} requests in ${seed - Number(values.seed)} worlds, seeds ${values.seed} to ${seed - 1}: nothing lost, nothing crossed\n`,
);
