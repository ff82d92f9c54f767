/**
 * Ns per pick for 3 to 3,000 endpoints: `node src/balance/pick.bench.ts [algorithm ...]`. A table of two workers, some requests in flight.
 *
 * Each policy is measured in a process of its own, as pools of one policy meet it; where a worker runs pools of many, its calls are a few ns slower.
 */
import { execFileSync } from 'node:child_process';
import { Prng } from '../base/prng.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { type Algorithm, buildPolicy, endpointHash, NONE } from './balance.ts';

const ROUNDS = 7;
const SIZES = [3, 30, 300, 3000];
const algorithms: readonly Algorithm[] = [
  'round-robin',
  'random',
  'power-of-two',
  'least-requests',
  'first',
  'least-time',
  'source',
  'ring-hash',
  'maglev',
  'rendezvous',
];

const [given, ...more] = process.argv.slice(2);
if (given !== undefined && more.length === 0) measureAll(given as Algorithm);
else {
  console.log(`ns per pick (best of ${ROUNDS})`.padEnd(28), SIZES.map((n) => String(n).padStart(8)).join(''));
  for (const algorithm of given === undefined ? algorithms : [given, ...more]) {
    process.stdout.write(execFileSync(process.execPath, [import.meta.filename, algorithm]));
  }
}

function measureAll(algorithm: Algorithm): void {
  const buffer = new ArrayBuffer(tableBytes());
  initTable(buffer, {}, 1);
  const control = new ControlDoor(buffer);
  const workers = [new WorkerDoor(buffer, control.claimStripe()), new WorkerDoor(buffer, control.claimStripe())];
  for (const worker of workers) worker.heartbeat(1);
  const randoms = new Int32Array(4096);
  const prng = new Prng(1);
  for (let i = 0; i < randoms.length; i++) randoms[i] = prng.uint32();

  for (const weighted of [false, true]) {
    const cells = SIZES.map((size) => measure(size, weighted).toFixed(0).padStart(8));
    console.log(`${algorithm}${weighted ? ', weights 1-3' : ''}`.padEnd(28), cells.join(''));
  }

  function measure(size: number, weighted: boolean): number {
    const slots = Int32Array.from({ length: size }, (_, i) => control.claimSlot(`${size}`, `10.0.${i >> 8}.${i & 255}:80`));
    for (const slot of slots) {
      const worker = workers[slot & 1]!;
      // Each slot has had traffic, so that no page is untouched and latencies are known.
      worker.begin(slot);
      worker.end(slot, 0, 200, 5 + (slot % 7));
      worker.begin(slot);
    }
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
}
