/** The table as it is used: one memfd, one control process, workers that are processes of their own. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync } from 'node:fs';
import { test } from 'node:test';
import { mapShared, memfd } from '../sys/libc.ts';
import { ControlDoor, initTable, Tally, tableBytes } from './table.ts';

const WORKERS = 3;
const TIMES = 200_000;
const TABLE_FD = 3;

/** Runs in a child: counts as fast as it can. */
const work = `
import { WorkerDoor, tableBytes } from ${JSON.stringify(new URL('./table.ts', import.meta.url).href)};
import { mapShared } from ${JSON.stringify(new URL('../sys/libc.ts', import.meta.url).href)};
const [stripe, slot, times] = process.argv.slice(1).map(Number);
const door = new WorkerDoor(mapShared(${TABLE_FD}, tableBytes()).buffer, stripe);
let least = Infinity;
for (let i = 0; i < times; i++) {
  door.begin(slot);
  // What all have begun is never seen to shrink.
  const now = door.requests(slot);
  if (now < least && least !== Infinity) throw new Error('requests shrank');
  least = now;
  door.exchange(0, i % 3, 0, 0, 200, 0, 1, 1, 0, 1, 2);
  door.end(slot, 0, 200, 1);
}
door.begin(slot);
console.log(door.epoch() + ' ' + door.health(slot));
`;

function ended(child: ChildProcess): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    let out = '';
    child.stdout!.setEncoding('utf8').on('data', (chunk) => (out += chunk));
    child.once('close', (code) => resolve({ code, out }));
  });
}

test('processes that count at the same time lose nothing, and a dead one leaves its counters', async () => {
  const fd = memfd('weir-state-test', tableBytes());
  const { buffer } = mapShared(fd, tableBytes());
  initTable(buffer);
  const control = new ControlDoor(buffer);
  const tally = new Tally(buffer);
  const slot = control.claimSlot('a', 'x');
  control.setHealth(slot, 1);
  control.setEpoch(42);
  const stripes = Array.from({ length: WORKERS }, () => control.claimStripe());
  const children = stripes.map((stripe) => {
    const args = ['--input-type=module-typescript', '--no-warnings', '-e', work, String(stripe), String(slot), String(TIMES)];
    return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', fd] });
  });
  for (const { code, out } of await Promise.all(children.map(ended))) {
    assert.equal(code, 0);
    assert.equal(out, '42 1\n');
  }
  assert.equal(control.requests(slot), WORKERS * (TIMES + 1));
  assert.equal(control.turn(slot), WORKERS * (TIMES + 1));
  assert.equal(control.inFlight(slot), WORKERS);
  assert.equal(tally.slot(slot).classes[2], WORKERS * TIMES);
  const rows = tally.counts().requests;
  assert.deepEqual(rows.map(({ route }) => route).sort(), [0, 1, 2]);
  assert.equal(
    rows.reduce((sum, { count }) => sum + count, 0),
    WORKERS * TIMES,
  );
  // The processes are gone with one request in flight each.
  for (const stripe of stripes) control.releaseStripe(stripe);
  assert.equal(control.inFlight(slot), 0);
  assert.equal(control.requests(slot), WORKERS * (TIMES + 1));
  closeSync(fd);
});

test('a table costs the memory that is used of it, not its size', () => {
  const fd = memfd('weir-state-test', tableBytes());
  const { buffer } = mapShared(fd, tableBytes());
  initTable(buffer);
  const control = new ControlDoor(buffer);
  for (let i = 0; i < 100; i++) control.claimSlot('a', `10.0.0.${i}:80`);
  control.releaseStripe(control.claimStripe());
  const blocks = fstatSync(fd).blocks * 512;
  assert.ok(blocks < 1024 * 1024, `${blocks} bytes in use`);
  closeSync(fd);
});
