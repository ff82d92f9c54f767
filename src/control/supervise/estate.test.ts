import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { close, memfd } from '../../sys/libc.ts';
import { Estate, type EstateParts } from './estate.ts';
import { makeEventLog } from './events.ts';
import { startTimeOf, type Takeover, type WorkerRecord } from './instance.ts';
import { newTable } from './shared-table.ts';
import { Sockets } from './sockets.ts';

type Written = Parameters<EstateParts['instance']['write']>[0];

/** An instance whose one worker is this process, on what a predecessor left. */
function begin(taken: Takeover | null) {
  const events = makeEventLog({ isTerminal: false, color: false, isJournal: false, write: () => {} });
  const written: Written[] = [];
  const done: string[] = [];
  const over = Promise.withResolvers<void>();
  const sockets = new Sockets(1, false);
  const estate = new Estate({
    instance: {
      write: (record) => void written.push(record),
      remove: () => void done.push('remove'),
      release: () => void done.push('release'),
    },
    taken,
    sockets,
    events,
    workers: () => [{ slot: 0, stripe: 5, pid: process.pid }],
    onTakenOver: () => over.resolve(),
  });
  const heard = () => events.recent().map(({ event }) => event);
  return { estate, sockets, events, written, done, heard, over: over.promise };
}

const leftBy = (parts: Partial<Takeover>): Takeover => ({
  orphans: [],
  dead: [],
  tableFd: -1,
  sockets: [],
  missing: 0,
  ...parts,
});

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process that ends when it is told to drain. */
function orphan(stripe: number): WorkerRecord {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  children.push(child);
  const pid = child.pid!;
  return { slot: 0, stripe, pid, startTime: startTimeOf(pid)! };
}

test('with nothing left behind there is a new table, and nothing is said', () => {
  const { estate, written, heard } = begin(null);
  assert.deepEqual([estate.isShared, heard()], [false, []]);
  estate.save();
  const { inode, device } = estate.table;
  assert.deepEqual(written[0]!.table, { inode, device });
  assert.deepEqual(written[0]!.workers, [{ slot: 0, stripe: 5, pid: process.pid, startTime: startTimeOf(process.pid) }]);
  close(estate.table.fd);
});

test('a table that orphans had is kept; stripes of the dead go back at once, those of orphans when these are gone', async () => {
  const table = newTable();
  const [dead, alive] = [table.door.claimStripe(), table.door.claimStripe()];
  const its = orphan(alive);
  const record = { slot: 1, stripe: dead, pid: 1, startTime: 1 };
  const { estate, written, heard, over } = begin(leftBy({ orphans: [its], dead: [record], tableFd: table.fd }));
  assert.equal(estate.table.inode, table.inode);
  assert.deepEqual([table.door.isStripeUsed(dead), table.door.isStripeUsed(alive)], [false, true]);
  assert.equal(estate.isShared, true);
  estate.save();
  assert.deepEqual(written[0]!.workers[1], its, 'a further successor finds it, too');
  estate.orphans.drain(60_000);
  await over;
  assert.deepEqual([estate.isShared, table.door.isStripeUsed(alive)], [false, false]);
  assert.equal(written[1]!.workers.length, 1);
  assert.deepEqual(heard(), ['takeover', 'taken_over']);
  close(table.fd);
});

test('a table of another layout is replaced by a new one, in which no stripe of the old is given back', async () => {
  const its = orphan(0);
  const { estate, events, over } = begin(leftBy({ orphans: [its], tableFd: memfd('weir-other', 4096) }));
  const { door } = estate.table;
  assert.equal(door.claimStripe(), 0);
  assert.match(String(events.recent()[0]!.fields['table']), /the state table has 4096 bytes/);
  estate.orphans.drain(60_000);
  await over;
  assert.equal(door.isStripeUsed(0), true);
  close(estate.table.fd);
});

test('ports are shared with strangers only where sockets of orphans could not be had', () => {
  const sharedWith = (parts: Partial<Takeover>): boolean => {
    const its = orphan(0);
    const { estate, sockets } = begin(leftBy({ orphans: [its], ...parts }));
    estate.orphans.kill();
    close(estate.table.fd);
    return sockets.shareWithOthers;
  };
  const socket = { key: 'web|:80', slot: 0, fd: -1, inode: 1, address: { kind: 'ip', host: '::', port: 80 } } as const;
  assert.equal(sharedWith({ sockets: [socket] }), false);
  assert.equal(sharedWith({ sockets: [socket], missing: 1 }), true);
  assert.equal(sharedWith({}), true);
});

test('who cannot start leaves the record to orphans, and who ends takes it along', () => {
  const its = orphan(0);
  const failed = begin(leftBy({ orphans: [its] }));
  failed.estate.giveUp();
  failed.estate.orphans.kill();
  assert.deepEqual(failed.done, ['release']);
  const alone = begin(null);
  alone.estate.giveUp();
  const ended = begin(null);
  ended.estate.close();
  for (const { done } of [alone, ended]) assert.deepEqual(done, ['remove', 'release']);
  for (const { estate } of [failed, alone, ended]) close(estate.table.fd);
});
