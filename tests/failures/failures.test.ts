/**
 * Harm prevented: an endpoint that fails, in whatever way, costs clients more than the few requests that were with it.
 *
 * Runs alone: it counts slow answers. Bounds are two to three times what was seen; docs/resilience.md has the figures. A machine that stands still makes
 * every answer slow: a story that it spoilt is told again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from './balancer.ts';
import { describeLoad, type Outcome, stories } from './failures.ts';

interface Bound {
  failed: number;
  slow: number;
  more?: (outcome: Outcome) => void;
}

const bounds: Readonly<Record<string, Bound>> = {
  killed: { failed: 10, slow: 5 },
  stopped: { failed: 12, slow: 5 },
  resets: { failed: 12, slow: 5 },
  garbage: { failed: 25, slow: 5 },
  hangs: { failed: 15, slow: 5 },
  drips: { failed: 25, slow: 5 },
  '500': { failed: 25, slow: 5 },
  '503': { failed: 25, slow: 5 },
  late: { failed: 0, slow: 25 },
  'half-open': { failed: 15, slow: 10 },
  flapping: {
    failed: 10,
    slow: 5,
    more: ({ transitions }) => assert.ok(transitions <= 4, `the state flapped ${transitions} times`),
  },
  // Nobody could answer for 3 s; after that at most two checks of half a second, and their spread.
  'all down': {
    failed: 2200,
    slow: 5,
    more: ({ gapMs, load }) => {
      assert.ok(gapMs < 5500, `${gapMs} ms without an answer`);
      assert.equal(load.counts.timeout, 0, 'refused at once, not kept waiting');
    },
  },
  'pool of 500': { failed: 20, slow: 5 },
  'rolling deploy': { failed: 0, slow: 5 },
};

/** A tick that comes so much late: the machine stood still. */
const STILL_MS = 100;
/** Of all stories together, and ms of one after which it is not told again: so that test and file end in time. */
let triesLeft = 8;
const AGAIN_MS_MAX = 50_000;

/** Calls `tell`; with how long this process, which does next to nothing, and so the machine, stood still meanwhile. */
async function watched(tell: () => Promise<Outcome>): Promise<{ outcome: Outcome; stillMs: number }> {
  let stillMs = 0;
  let last = performance.now();
  const look = (): void => {
    const now = performance.now();
    stillMs = Math.max(stillMs, now - last - 20);
    last = now;
  };
  const timer = setInterval(look, 20);
  try {
    const outcome = await tell();
    look();
    return { outcome, stillMs };
  } finally {
    clearInterval(timer);
  }
}

function judge(outcome: Outcome, bound: Bound): void {
  const told = `${outcome.failed} failed, ${outcome.slow} slow of ${outcome.requests}\n${describeLoad(outcome.load)}`;
  // A story that waits for nothing takes as long as the machine makes it.
  assert.ok(outcome.requests > 800, told);
  assert.ok(outcome.failed <= bound.failed && outcome.slow <= bound.slow, told);
  bound.more?.(outcome);
}

for (const story of stories) {
  const missing = story.missing?.() ?? null;
  test(`${story.what}: few requests are lost`, { skip: missing ?? false }, async () => {
    const began = performance.now();
    while (true) {
      const { outcome, stillMs } = await watched(() => story.tell(start.weir));
      try {
        judge(outcome, bounds[story.name]!);
        return;
      } catch (error) {
        if (stillMs < STILL_MS || performance.now() - began > AGAIN_MS_MAX || triesLeft-- === 0) throw error;
      }
    }
  });
}
