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

/**
 * Runs in a child, with a stripe and ms as arguments: asks as fast as it can until its time is over. Says lines of a word and ms: when it began and
 * ended, and for how long it stood still in between.
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
console.log('began ' + now);
for (let last = now, end = now + Number(process.argv[2]); now < end; last = now, now = sharedClockMs()) {
  if (now - last > ${STILL_MS}) console.log('still ' + (now - last));
  limits.nowMs = now;
  for (let i = 0; i < 50; i++) {
    for (let filter = 0; filter < 2; filter++) door.filterDecided(filter, limits.take(rules[filter], 5, filter + 1) ? ${filterDecision.allowed} : ${filterDecision.limited});
    // Other keys come and go in the same set, two every 500 ms: its rows change hands, and none in use is taken.
    limits.take(rules[0], 5, 2 * Math.floor(now / 500) + (i & 1));
  }
}
console.log('ended ' + now);
`;

/** ms of the shared clock; `ended` only of one that was not killed, `gone` when that was seen. */
interface Said {
  began: number;
  ended: number | undefined;
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
      const of = (word: string) => [...out.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map(([, ms]) => Number(ms));
      resolve({ began: of('began')[0]!, ended: of('ended')[0], gone: sharedClockMs(), still: of('still') });
    }),
  );
  return { child, said, began: began.promise };
}

test('processes keep a limit together, and one that is killed resets and locks nothing', async () => {
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
  assert.equal(said[0]!.ended, undefined, 'it was killed in the middle');
  const firstMs = Math.min(...said.map(({ began }) => began));
  const lastMs = Math.max(...said.map(({ ended, gone }) => ended ?? gone));
  // Time in which nobody asked is in these, if there was any.
  const stillMs = said.flatMap(({ still }) => still).reduce((sum, ms) => sum + ms, 0);

  const [bucketPassed, bucketLimited] = tally.filter(0);
  const bucketMost = plans.bucket.burst + ((lastMs - firstMs) * plans.bucket.requests) / plans.bucket.windowMs;
  // Each process may lose one race, a killed one a count.
  assert.ok(bucketPassed! <= bucketMost + WORKERS, `${bucketPassed} of ${bucketMost}`);
  const bucketStill = (stillMs * plans.bucket.requests) / plans.bucket.windowMs;
  assert.ok(bucketPassed! >= 0.6 * (bucketMost - bucketStill), `${bucketPassed} of ${bucketMost}`);
  assert.ok(bucketLimited! > bucketPassed!, 'they asked for more than was allowed');

  const [windowPassed] = tally.filter(1);
  const windows = (lastMs - firstMs) / plans.window.windowMs;
  assert.ok(windowPassed! <= plans.window.requests * (1 + windows) + WORKERS, `${windowPassed} in ${windows} windows`);
  const askedWindows = windows - 1 - stillMs / plans.window.windowMs;
  assert.ok(windowPassed! >= 0.6 * plans.window.requests * askedWindows, `${windowPassed} in ${windows} windows`);

  // What all of them left is as good as new: it decides, and is full after its time.
  const { limits } = control;
  for (const [filter, plan] of Object.values(plans).entries()) {
    const rule = new LimitRule(plan);
    limits.nowMs = sharedClockMs() + 1000;
    let passed = 0;
    while (passed <= 5000 && limits.take(rule, 5, filter + 1)) passed++;
    assert.equal(passed, plan.algorithm === 'token-bucket' ? plan.burst : plan.requests);
  }
  closeSync(fd);
});
