import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TICKET_KEY_BYTES } from '../../base/ticket-key.ts';
import type { DownMessage } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import { tableBytes, WorkerDoor } from '../../state/table.ts';
import { close, mapShared } from '../../sys/libc.ts';
import { makeEventLog } from './events.ts';
import { Fleet } from './fleet.ts';
import { newTable } from './shared-table.ts';
import { Sockets } from './sockets.ts';
import { TICKET_KEY_MS_MAX, TicketKeys } from './ticket-keys.ts';

/** Keys made at a time that the test sets; the first is all 01, the second all 02. */
class Clocked {
  now = 5000;
  private made = 0;
  readonly tickets = new TicketKeys(
    () => this.now,
    (size) => Buffer.alloc(size, ++this.made),
  );
  key(number: number): string {
    return Buffer.alloc(TICKET_KEY_BYTES, number).toString('hex');
  }
}

test('there is a key from the start, a new one every twelve hours, and the last two are kept to open with', () => {
  const clocked = new Clocked();
  const { tickets } = clocked;
  const numbers = () => tickets.keys.map((key) => Number.parseInt(key.slice(0, 2), 16));
  assert.deepEqual(tickets.keys, [clocked.key(1)]);
  assert.equal(tickets.renew(), false);
  clocked.now += TICKET_KEY_MS_MAX - 1;
  assert.equal(tickets.renew(), false);
  clocked.now += 1;
  assert.equal(tickets.renew(), true);
  assert.equal(tickets.renew(), false, 'the new one has its own twelve hours');
  assert.deepEqual(numbers(), [2, 1]);
  for (const expected of [
    [3, 2, 1],
    [4, 3, 2],
  ]) {
    clocked.now += TICKET_KEY_MS_MAX;
    assert.equal(tickets.renew(), true);
    assert.deepEqual(numbers(), expected);
  }
});

test('keys are random, and as long as OpenSSL wants them', () => {
  const [one, other] = [new TicketKeys(() => 0), new TicketKeys(() => 0)];
  assert.match(one.keys[0]!, /^[0-9a-f]{160}$/);
  assert.notEqual(one.keys[0], other.keys[0]);
});

/** A worker that is always ready, and says as an event what it was told. */
const worker = `
  import { createInterface } from 'node:readline';
  import { Socket } from 'node:net';
  const channel = new Socket({ fd: JSON.parse(process.argv[2]).channelFd });
  const say = (message) => channel.write(JSON.stringify(message) + '\\n');
  createInterface({ input: channel }).on('line', (line) => {
    const message = JSON.parse(line);
    if (message.type === 'stop') process.exit(0);
    say({ type: 'event', level: 'info', msg: line, fields: {} });
    if (message.type === 'plan') say({ type: 'ready', epoch: message.plan.epoch });
  });
`;

test('each worker gets the keys before its first plan, a successor too, and all get the new ones', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-tickets-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'worker.mjs');
  writeFileSync(path, worker);
  const events = makeEventLog({ isTerminal: false, color: false, isJournal: false, write: () => {} });
  const told: { worker: number; message: DownMessage }[] = [];
  const more = new EventTarget();
  events.subscribe(({ event, text, fields }) => {
    if (event !== 'worker') return;
    told.push({ worker: Number(fields['worker']), message: JSON.parse(text) as DownMessage });
    more.dispatchEvent(new Event('told'));
  });
  const keysTold = (of: number) =>
    told.flatMap(({ worker: number, message }) => (number === of && message.type === 'tickets' ? [message.keys] : []));
  const until = async (isTrue: () => boolean) => {
    while (!isTrue()) await once(more, 'told', { signal: t.signal });
  };
  const clocked = new Clocked();
  const { door, fd } = newTable();
  const fleet = new Fleet({
    workers: 2,
    engine: 'auto',
    descriptorsMax: 64,
    workerPath: path,
    environment: process.env,
    door,
    tableFd: fd,
    sockets: new Sockets(2, false),
    events,
    tickets: clocked.tickets,
    onChange: () => {},
  });
  // It does not turn its loop as a worker does: that it is alive is said for it.
  const { buffer } = mapShared(fd, tableBytes());
  const beat = setInterval(() => {
    for (const { stripe } of fleet.processes()) new WorkerDoor(buffer, stripe).heartbeat(performance.now());
  }, 100);
  after(async () => {
    clearInterval(beat);
    await fleet.stop();
    close(fd);
  });

  assert.deepEqual(await fleet.start({ epoch: 1, listeners: [] } as unknown as Plan), { ok: true });
  for (const number of [0, 1])
    assert.deepEqual(
      told.filter(({ worker: its }) => its === number).map(({ message }) => message.type),
      ['tickets', 'plan'],
    );
  assert.deepEqual([...keysTold(0), ...keysTold(1)], [[clocked.key(1)], [clocked.key(1)]]);

  clocked.now += TICKET_KEY_MS_MAX;
  await until(() => keysTold(0).length === 2 && keysTold(1).length === 2);
  for (const number of [0, 1]) assert.deepEqual(keysTold(number)[1], [clocked.key(2), clocked.key(1)]);

  told.length = 0;
  fleet.processes()[1]!.kill('SIGKILL');
  await until(() => told.some(({ message }) => message.type === 'plan'));
  assert.deepEqual(
    told.map(({ worker: its, message }) => [its, message.type]),
    [
      [1, 'tickets'],
      [1, 'plan'],
    ],
  );
  assert.deepEqual(keysTold(1), [[clocked.key(2), clocked.key(1)]]);
});
