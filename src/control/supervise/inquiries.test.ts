import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { DownMessage, FoundMessage } from '../../state/channel.ts';
import { ANSWER_MS_MAX, Inquiries } from './inquiries.ts';

class FakeWorker {
  readonly slot: number;
  readonly told: DownMessage[] = [];
  constructor(slot: number) {
    this.slot = slot;
  }
  send(message: DownMessage): void {
    this.told.push(message);
  }
}

const since = { served: 1, refused: 1, failed: 1 };
const reach = { requests: since, connections: since, datagrams: since };
const answer = (ask: number): FoundMessage => ({ type: 'found', ask, records: [], connections: [], isOwn: false, reach });

test('every worker is asked, and the answers come in the order of workers', async () => {
  const inquiries = new Inquiries();
  const [a, b] = [new FakeWorker(0), new FakeWorker(1)];
  const found = inquiries.ask([a, b], { type: 'find', id: 'x' });
  assert.deepEqual([a.told, b.told], [[{ type: 'find', id: 'x', ask: 1 }], [{ type: 'find', id: 'x', ask: 1 }]]);
  inquiries.answered(b, answer(1));
  // Twice, and to a question nobody asked: neither counts.
  inquiries.answered(b, answer(1));
  inquiries.answered(a, answer(2));
  inquiries.answered(a, answer(1));
  const { answers, silent } = await found;
  assert.deepEqual([answers.map(({ worker }) => worker), silent], [[0, 1], []]);
});

test('a worker that dies is not waited for, and no worker at all is an answer at once', async () => {
  const inquiries = new Inquiries();
  const [a, b] = [new FakeWorker(0), new FakeWorker(1)];
  const found = inquiries.ask([a, b], { type: 'recent', limit: 1, filter: 'all' });
  inquiries.gone(b);
  inquiries.answered(a, answer(1));
  assert.deepEqual((await found).answers.map(({ worker }) => worker), [0]); // biome-ignore format: short
  assert.deepEqual(await inquiries.ask([], { type: 'find', id: 'x' }), { answers: [], silent: [] });
});

test('a worker that is silent is named when its time is over, and its late answer is dropped', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const inquiries = new Inquiries();
    const [a, b] = [new FakeWorker(0), new FakeWorker(1)];
    const found = inquiries.ask([a, b], { type: 'find', id: 'x' });
    inquiries.answered(a, answer(1));
    mock.timers.tick(ANSWER_MS_MAX);
    const { answers, silent } = await found;
    inquiries.answered(b, answer(1));
    assert.deepEqual([answers.length, silent], [1, [1]]);
  } finally {
    mock.timers.reset();
  }
});
