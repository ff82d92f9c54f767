/** ns that a request of a bound client pays: its cookie found, taken out, its endpoint looked at. The best of ten rounds. Run: node src/route/sticky.bench.ts */
import { FIELD_STRIDE, field, Head } from '../base/head.ts';
import { plainPool } from '../state/plain-pool.ts';
import type { PoolPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { Sticky, stickyToken } from './sticky.ts';

const ROUNDS = 10;
const CALLS = 200_000;
const KEY = 'a2V5';

const buffer = new ArrayBuffer(tableBytes());
initTable(buffer);
const control = new ControlDoor(buffer);
const table = new WorkerDoor(buffer, control.claimStripe());
control.claimId('pool', 'web');
const endpoints = Array.from({ length: 300 }, (_, i) => {
  const address = `10.0.${i >> 8}.${i & 255}:80`;
  const slot = control.claimSlot('web', address);
  control.setHealth(slot, 1);
  return { slot, address, resolved: null, weight: 1, backup: false, zone: null, requestsMax: 0 };
});
const connections = { idleMax: 0, idleMs: 0, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 };
const pool: PoolPlan = { ...plainPool, id: 0, name: 'web', source: '', endpoints, connections };
const sticky = new Sticky(
  { name: 'weir', ttlS: 0, path: '/', domain: null, sameSite: 'lax', secure: true, httpOnly: true, key: KEY },
  pool,
  table,
);
const token = stickyToken(Buffer.from(KEY, 'base64url'), 'web', endpoints[77]!.address);

for (const [what, cookie] of [
  ['alone', `weir=${token}`],
  ['last of three', `theme=dark; lang=en; weir=${token}`],
  ['first of three', `weir=${token}; theme=dark; lang=en`],
  ['in the middle of 1 KB', `a=${'x'.repeat(480)}; weir=${token}; b=${'y'.repeat(480)}`],
] as const) {
  const bytes = Buffer.from(cookie, 'latin1');
  const head = new Head(new Uint8Array(4096), 20);
  head.addField(field.cookie, 0, 0, 0, 0);
  let best = Infinity;
  let found = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      head.bytes.set(bytes);
      head.fields[0] = field.cookie;
      head.fields[FIELD_STRIDE - 2] = 0;
      head.fields[FIELD_STRIDE - 1] = bytes.length;
      found += sticky.usableAt(sticky.take(head));
    }
    const whole = Number(process.hrtime.bigint() - start);
    const again = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      head.bytes.set(bytes);
      head.fields[0] = field.cookie;
      head.fields[FIELD_STRIDE - 2] = 0;
      head.fields[FIELD_STRIDE - 1] = bytes.length;
    }
    best = Math.min(best, (whole - Number(process.hrtime.bigint() - again)) / CALLS);
  }
  if (found !== ROUNDS * CALLS * endpoints[77]!.slot) throw new Error('another endpoint was found');
  console.log(`${what.padEnd(22)} ${best.toFixed(0).padStart(5)} ns`);
}
