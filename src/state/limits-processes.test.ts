/** Rate limits as they are used: processes that decide on the same keys at the same time, and one that is killed in between. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { sharedClockMs } from '../base/shared-clock.ts';
import { mapShared, memfd } from '../sys/libc.ts';
import { filterDecision } from './doors.ts';
import { LimitRule } from './limits.ts';
import { ControlDoor, initTable, Tally, tableBytes } from './table.ts';

const WORKERS = 3;
const TABLE_FD = 3;
const RUN_MS = 600;
/** Of the one that is killed: it must not end before, however late the others begin. */
const KILLED_RUN_MS = 60_000;
const plans = {
  bucket: { algorithm: 'token-bucket', requests: 5000, windowMs: 1000, burst: 1000 },
  window: { algorithm: 'sliding-window', requests: 2000, windowMs: 100, burst: 1 },
} as const;

/** Longer without asking is told by a child: less loses neither a token, whose burst lasts 200 ms, nor a window of 100 ms. */
const STILL_MS = 50;
/** How often a child says that it asks: of one that is killed all but so much is known. */
const TOLD_MS = 20;

/**
 * Runs in a child, with a stripe and ms as arguments: asks as fast as it can until its time is over. Says lines of a word and ms: when it began,
 * asked and ended, and for how long it stood still in between.
 */
const work = `
import { WorkerDoor, tableBytes } from ${JSON.stringify(new URL('./table.ts', import.meta.url).href)};
import { LimitRule } from ${JSON.stringify(new URL('./limits.ts', import.meta.url).href)};
import { mapShared } from ${JSON.stringify(new URL('../sys/libc.ts', import.meta.url).href)};
import { sharedClockMs } from ${JSON.stringify(new URL('../base/shared-clock.ts', import.meta.url).href)};
const stripe = Number(process.argv[1]);
const rules = Object.values(${JSON.stringify(plans)}).map((plan) => new LimitRule(plan));
const door = new WorkerDoor(mapShared(${TABLE_FD}, tableBytes()).buffer, stripe);
const { limits } = door;
let now = sharedClockMs();
let told = now;
console.log('began ' + now);
for (const end = now + Number(process.argv[2]); now < end; ) {
  limits.nowMs = now;
  for (let i = 0; i < 50; i++) {
    for (let filter = 0; filter < 2; filter++) door.filterDecided(filter, limits.take(rules[filter], 5, filter + 1) ? ${filterDecision.allowed} : ${filterDecision.limited});
    // Other keys come and go in the same set, two every 500 ms: its rows change hands, and none in use is taken.
    limits.take(rules[0], 5, 2 * Math.floor(now / 500) + (i & 1));
  }
  const last = now;
  now = sharedClockMs();
  if (now - last > ${STILL_MS}) console.log('still ' + (now - last));
  if (now - told > ${TOLD_MS}) console.log('asked ' + (told = now));
}
console.log('ended ' + now);
`;

/** ms of the shared clock; `last` is when it is known to have asked last, `gone` when its end was seen. */
interface Said {
  began: number;
  last: number;
  hasEnded: boolean;
  gone: number;
  still: number[];
}

function start(stripe: number, runMs: number, fd: number): { child: ChildProcess; said: Promise<Said>; began: Promise<void> } {
  const args = ['--input-type=module-typescript', '--no-warnings', '-e', work, String(stripe), String(runMs)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', fd] });
  let out = '';
  const began = Promise.withResolvers<void>();
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    out += chunk;
    began.resolve();
  });
  const said = new Promise<Said>((resolve) =>
    child.once('close', () => {
      const of = (word: string) => [...out.matchAll(new RegExp(`^(?:${word}) (.*)$`, 'gm'))].map(([, ms]) => Number(ms));
      resolve({
        began: of('began')[0]!,
        last: of('ended|asked|began').at(-1)!,
        hasEnded: of('ended').length > 0,
        gone: sharedClockMs(),
        still: of('still'),
      });
    }),
  );
  return { child, said, began: began.promise };
}

/** ms in which somebody asked: of the time that any of them lived what none of them says to have stood still for. */
function askedMs(lives: readonly Said[]): number {
  let sum = 0;
  let untilMs = 0;
  for (const { began, last, still } of lives.toSorted((a, b) => a.began - b.began)) {
    sum += Math.max(0, last - Math.max(began, untilMs)) - still.reduce((total, ms) => total + ms, 0);
    untilMs = Math.max(untilMs, last);
  }
  return sum;
}

/** Lets them ask together, kills the first in the middle, and judges; false when they asked too little to be limited. */
async function play(): Promise<boolean> {
  const fd = memfd('weir-limits-test', tableBytes());
  const { buffer } = mapShared(fd, tableBytes());
  initTable(buffer);
  const control = new ControlDoor(buffer);
  for (const name of ['bucket', 'window']) control.claimId('filter', name);
  const tally = new Tally(buffer);
  const running = Array.from({ length: WORKERS }, (_, i) => start(control.claimStripe(), i === 0 ? KILLED_RUN_MS : RUN_MS, fd));
  await Promise.all(running.map(({ began }) => began));
  running[0]!.child.kill('SIGKILL');
  const said = await Promise.all(running.map((r) => r.said));
  closeSync(fd);
  assert.equal(said[0]!.hasEnded, false, 'it was killed in the middle');
  const wholeMs =
    Math.max(...said.map(({ last, gone }, i) => (i === 0 ? gone : last))) - Math.min(...said.map(({ began }) => began));
  const ms = askedMs(said);

  const [bucketPassed, bucketLimited] = tally.filter(0) as [number, number];
  const { burst, requests } = plans.bucket;
  const bucketMost = (of: number): number => burst + (of * requests) / plans.bucket.windowMs;
  // Each process may lose one race, a killed one a count.
  assert.ok(bucketPassed <= bucketMost(wholeMs) + WORKERS, `${bucketPassed} of ${bucketMost(wholeMs)}`);
  const [windowPassed] = tally.filter(1) as [number];
  const { windowMs } = plans.window;
  assert.ok(windowPassed <= plans.window.requests * (1 + wholeMs / windowMs) + WORKERS, `${windowPassed} in ${wholeMs} ms`);

  // What all of them left is as good as new: it decides, and is full after its time.
  const { limits } = control;
  for (const [filter, plan] of Object.values(plans).entries()) {
    const rule = new LimitRule(plan);
    limits.nowMs = sharedClockMs() + 1000;
    let passed = 0;
    while (passed <= 5000 && limits.take(rule, 5, filter + 1)) passed++;
    assert.equal(passed, plan.algorithm === 'token-bucket' ? plan.burst : plan.requests);
  }

  if (bucketPassed + bucketLimited < 2 * bucketMost(wholeMs)) return false;
  assert.ok(bucketPassed >= 0.6 * bucketMost(ms), `${bucketPassed} of ${bucketMost(ms)}`);
  const pauses = said.reduce((sum, { still }) => sum + still.length, 1);
  assert.ok(windowPassed >= 0.6 * plans.window.requests * (ms / windowMs - pauses), `${windowPassed} in ${ms} ms`);
  return true;
}

test('processes keep a limit together, and one that is killed resets and locks nothing', async () => {
  // Again where the machine stood still nearly all of the time.
  for (let tries = 0; tries < 5; tries++) if (await play()) return;
  assert.fail('they asked for less than was allowed');
});
