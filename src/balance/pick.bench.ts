/** Ns per pick for 3 to 3,000 endpoints: `node src/balance/pick.bench.ts`. A table of two workers, some requests in flight. */
import { Prng } from '../base/prng.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { buildPolicy, endpointHash, NONE } from './balance.ts';
import { algorithms } from './conformance.ts';

const ROUNDS = 5;
const SIZES = [3, 30, 300, 3000];

const buffer = new ArrayBuffer(tableBytes());
initTable(buffer, {}, 1);
const control = new ControlDoor(buffer);
const workers = [new WorkerDoor(buffer, control.claimStripe()), new WorkerDoor(buffer, control.claimStripe())];
const randoms = new Int32Array(4096);
const prng = new Prng(1);
for (let i = 0; i < randoms.length; i++) randoms[i] = prng.uint32();

console.log(`ns per pick (best of ${ROUNDS})`.padEnd(28), SIZES.map((n) => String(n).padStart(8)).join(''));
for (const algorithm of algorithms) {
  for (const weighted of [false, true]) {
    const cells = SIZES.map((size) => measure(algorithm, size, weighted).toFixed(0).padStart(8));
    console.log(`${algorithm}${weighted ? ', weights 1-3' : ''}`.padEnd(28), cells.join(''));
  }
}

function measure(algorithm: (typeof algorithms)[number], size: number, weighted: boolean): number {
  const slots = Int32Array.from({ length: size }, (_, i) => control.claimSlot(`${size}`, `10.0.${i >> 8}.${i & 255}:80`));
  // Each slot has had traffic, so that no page is untouched.
  for (const slot of slots) workers[slot & 1]!.begin(slot);
  const policy = buildPolicy(algorithm, {
    name: 'bench',
    slots,
    weights: Int32Array.from(slots, (_, i) => (weighted ? 1 + (i % 3) : 1)),
    backup: new Uint8Array(size),
    requestsMax: new Int32Array(size),
    table: workers[0]!,
    hashes: Int32Array.from(slots, (slot) => endpointHash(`${slot}`)),
  });
  const picks = algorithm === 'least-requests' || algorithm === 'rendezvous' ? Math.ceil(15_000_000 / (size + 40)) : 500_000;
  let best = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < picks; i++) sum += policy.pick(randoms[i & 4095]!, randoms[(i + 7) & 4095]!, NONE);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / picks);
  }
  if (sum < 0) throw new Error('picked nothing');
  for (const slot of slots) workers[slot & 1]!.end(slot, 0, 200, 1);
  return best;
}
