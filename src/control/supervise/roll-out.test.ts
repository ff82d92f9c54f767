import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import type { RollOutResult } from './fleet.ts';
import { rollOut } from './roll-out.ts';
import { type HeldSocket, ListenError, type Prepared } from './sockets.ts';

const plan = { epoch: 2 } as Plan;
const ip = (port: number): Address => ({ kind: 'ip', host: '127.0.0.1', port });
const opened: HeldSocket[] = [{ key: 'web|127.0.0.1:1', slot: 0, fd: -1, inode: 1, address: ip(1) }];

async function roll(answer: RollOutResult, prepare: () => Promise<Prepared>): Promise<{ result: RollOutResult; done: string[] }> {
  const done: string[] = [];
  const result = await rollOut(plan, {
    sockets: { prepare, forget: (sockets) => void done.push(`forget ${sockets.length}`) },
    fleet: {
      bring: async (its, sockets) => {
        done.push(`bring ${its.epoch} with ${sockets.length}`);
        return answer;
      },
    },
    events: { warn: (event, text) => void done.push(`${event}: ${text}`) },
    onBring: ({ epoch }) => void done.push(`learn ${epoch}`),
  });
  return { result, done };
}

test('workers get a plan with its sockets when they are open, and a port that gave way is said', async () => {
  const moved = [{ key: 'web|127.0.0.1:1', wanted: ip(1), got: ip(2) }];
  const { result, done } = await roll({ ok: true }, async () => ({ opened, moved }));
  assert.deepEqual(result, { ok: true });
  assert.deepEqual(done, ['port_taken: 127.0.0.1:1 is taken, so it is 127.0.0.1:2', 'learn 2', 'bring 2 with 1']);
});

test('a plan that is refused costs no socket', async () => {
  const { result, done } = await roll({ ok: false, reason: 'worker 0: no' }, async () => ({ opened, moved: [] }));
  assert.deepEqual(result, { ok: false, reason: 'worker 0: no' });
  assert.equal(done.at(-1), 'forget 1');
});

test('an address that cannot be listened on refuses the plan before any worker hears of it; a bug is no refusal', async () => {
  const taken = new ListenError('port 1 is taken', 'EADDRINUSE');
  const { result, done } = await roll({ ok: true }, () => Promise.reject(taken));
  assert.deepEqual([result, done], [{ ok: false, reason: 'port 1 is taken' }, []]);
  await assert.rejects(
    roll({ ok: true }, () => Promise.reject(new TypeError('x'))),
    TypeError,
  );
});
