import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import { plainListener } from '../../state/plain-pool.ts';
import type { Plan } from '../../state/plan.ts';
import { type AnnouncementParts, announce, statusLine } from './announcement.ts';
import { makeEventLog } from './events.ts';

const wanted: Address = { kind: 'ip', host: '127.0.0.1', port: 80 };
const got: Address = { kind: 'ip', host: '127.0.0.1', port: 8080 };
const socket = { key: 'web|127.0.0.1:80', fd: -1, inode: 1, address: got };

function announced(over: Partial<AnnouncementParts>) {
  const said: string[] = [];
  const events = makeEventLog({ isTerminal: false, color: false, isJournal: false, write: () => {} });
  const listener = { ...plainListener, name: 'web', addresses: [wanted], to: null, redirectToHttps: true };
  announce({
    version: '1.0.0',
    plan: { epoch: 3, listeners: [listener], pools: [], routes: [] } as unknown as Plan,
    worker: { engine: 'epoll', engineWhy: 'seccomp' },
    workers: 2,
    sockets: {
      all: () => [
        { ...socket, slot: 0 },
        { ...socket, slot: 1 },
      ],
      boundTo: (key) => (key === socket.key ? got : null),
    },
    admin: [],
    notes: ['a note'],
    readyMs: 12.4,
    events,
    say: null,
    color: false,
    ...over,
  });
  return { said, recent: events.recent() };
}

test('programs are told once where it listens, what it runs on, and what needs attention', () => {
  const { recent } = announced({});
  assert.deepEqual(
    recent.map(({ event, level }) => `${event} ${level}`),
    ['ready info', 'note warn', 'note warn'],
  );
  assert.deepEqual(recent[0]!.fields, {
    engine: 'epoll',
    workers: 2,
    epoch: 3,
    ms: 12,
    listen: 'web=127.0.0.1:8080',
    admin: undefined,
  });
  assert.deepEqual(
    recent.slice(1).map(({ text }) => text),
    ['a note', 'io_uring cannot be used here, so it is epoll: seccomp'],
  );
  assert.equal(announced({ admin: [wanted] }).recent[0]!.fields['admin'], '127.0.0.1:80');
});

test('eyes get the banner, with what an address is bound to and the same notes, and no event', () => {
  let text = '';
  const { recent } = announced({ say: (its) => void (text += its) });
  assert.match(text, /web +http:\/\/127\.0\.0\.1:8080/);
  assert.match(text, /a note\n\n {2}io_uring cannot be used here, so it is epoll: seccomp/);
  assert.deepEqual(recent, []);
});

test('a worker that is gone again is no reason to fail', () => {
  const { recent } = announced({ worker: undefined, notes: [] });
  assert.deepEqual([recent.length, recent[0]!.fields['engine']], [1, 'unknown']);
});

test('the status line counts what is not ready', () => {
  const pools = [{ endpoints: [{ slot: 0 }, { slot: 1 }] }, { endpoints: [{ slot: 2 }] }];
  const plan = { epoch: 4, pools } as unknown as Plan;
  assert.equal(statusLine(plan, { isReady: (slot) => slot !== 1 }), 'STATUS=epoch 4, 2 pools, 3 endpoints, 1 not ready');
});
