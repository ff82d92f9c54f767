import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addressText } from '../../base/wire.ts';
import { type Admin, startAdmin } from './admin.ts';
import { StateFixture } from './fixture.ts';

const state = new StateFixture();
let admin: Admin;
before(async () => {
  admin = await startAdmin({ addresses: [{ kind: 'ip', host: '127.0.0.1', port: 0 }], state });
});
after(() => admin.close());

async function ask(path: string, kind = 'requests'): Promise<{ status: number; body: { detail?: string } }> {
  const response = await fetch(`http://${addressText(admin.addresses[0]!)}/api/v1/${kind}${path}`);
  return { status: response.status, body: (await response.json()) as { detail?: string } };
}

test('workers are asked for what the query says', async () => {
  for (const [query, question] of [
    ['', { limit: 50, filter: 'all' }],
    ['?limit=200&fault=false', { limit: 200, filter: 'all' }],
    ['?fault', { limit: 50, filter: 'fault' }],
    ['?slow=true&limit=1', { limit: 1, filter: 'slow' }],
  ] as const) {
    assert.deepEqual((await ask(query)).body, { items: [], since: null, silent: [0] });
    assert.deepEqual(state.questions.at(-1), { type: 'recent', ...question }, query);
  }
});

test('workers are asked for connections as the query says', async () => {
  for (const [query, question] of [
    ['', { limit: 50, filter: 'ended' }],
    ['?limit=200&open=false', { limit: 200, filter: 'ended' }],
    ['?fault', { limit: 50, filter: 'fault' }],
    ['?open=true&limit=1', { limit: 1, filter: 'open' }],
  ] as const) {
    assert.deepEqual((await ask(query, 'connections')).body, { items: [], since: null, silent: [0] });
    assert.deepEqual(state.questions.at(-1), { type: 'connections', ...question }, query);
  }
});

test('a query that cannot be meant is refused, and no worker is asked', async () => {
  const before = state.questions.length;
  for (const query of ['?limit=0', '?limit=201', '?fault&open'])
    assert.equal((await ask(query, 'connections')).status, 400, query);
  for (const query of ['?limit=0', '?limit=201', '?limit=-1', '?limit=x', '?fault&slow'])
    assert.equal((await ask(query)).status, 400, query);
  assert.equal(state.questions.length, before);
});

test('an id is found as it is, slashes included, and one that is not is 404', async () => {
  for (const kind of ['requests', 'explain']) {
    const { status, body } = await ask('/order%2F42', kind);
    assert.deepEqual(state.questions.at(-1), { type: 'find', id: 'order/42' });
    assert.equal(status, 404);
    assert.match(body.detail!, /^no running worker gave the id order\/42 out, or remembers it; worker 0 did not answer$/);
  }
});
