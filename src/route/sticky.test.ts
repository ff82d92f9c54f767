import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NONE } from '../balance/balance.ts';
import { FIELD_STRIDE, field, Head } from '../base/head.ts';
import { admin, health } from '../state/doors.ts';
import { plainPool } from '../state/plain-pool.ts';
import type { PoolPlan, StickyPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { NO_COOKIE, Sticky, stickyToken, UNKNOWN_COOKIE } from './sticky.ts';

const KEY = 'c2VjcmV0IG9mIHRoZSB0ZXN0';
const plan: StickyPlan = {
  name: 'bound',
  ttlS: 0,
  path: '/',
  domain: null,
  sameSite: null,
  secure: null,
  httpOnly: false,
  key: KEY,
};

function build(count: number, changes: Partial<StickyPlan> = {}, requestsMax = 0) {
  const sizes = { slotsMax: 512, stripesMax: 2, limitRowsMax: 64, exchangeRowsMax: 64, countRowsMax: 64 };
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 1);
  const control = new ControlDoor(buffer);
  const table = new WorkerDoor(buffer, control.claimStripe());
  control.claimId('pool', 'web');
  const pool: PoolPlan = {
    ...plainPool,
    id: 0,
    name: 'web',
    source: '',
    connections: { idleMax: 0, idleMs: 0, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 },
    endpoints: Array.from({ length: count }, (_, i) => {
      const address = `10.0.${i >> 8}.${i & 255}:8001`;
      const slot = control.claimSlot('web', address);
      control.setHealth(slot, health.up);
      return { slot, address, resolved: null, weight: 1, backup: false, zone: null, requestsMax };
    }),
  };
  const sticky = new Sticky({ ...plan, ...changes }, pool, table);
  const tokens = pool.endpoints.map((e) => stickyToken(Buffer.from(KEY, 'base64url'), 'web', e.address));
  return { sticky, pool, table, control, tokens };
}

/** A head in bytes of its own, with room behind. */
function headOf(...cookies: string[]): Head {
  const text = `GET / HTTP/1.1\r\n${cookies.map((c) => `Cookie: ${c}\r\n`).join('')}\r\n`;
  const head = new Head(new Uint8Array(text.length + 1024), 20);
  head.bytes.set(Buffer.from(text, 'latin1'));
  head.size = head.used = text.length;
  head.room = text.length + 1024;
  let at = 16;
  for (const cookie of cookies) {
    head.addField(field.cookie, at, at + 6, at + 8, at + 8 + cookie.length);
    at += cookie.length + 10;
  }
  return head;
}
function cookiesOf(head: Head): string[] {
  const left: string[] = [];
  for (let i = head.find(field.cookie); i >= 0; i = head.find(field.cookie, i + 1)) left.push(head.value(i));
  return left;
}

test('the token is the first half of an HMAC-SHA256, as any other program computes it', () => {
  assert.equal(stickyToken(Buffer.from('secret of the test'), 'web', '10.0.0.1:8001'), 'KP2_A1MZtix29K_sggZumA');
});

test('every endpoint is found by its cookie, whatever stands around it, and the other cookies stay as they are', () => {
  const { sticky, tokens } = build(200);
  const other = fc
    .tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[A-Za-z0-9=_-]{0,20}$/))
    .filter(([name]) => name !== 'bound')
    .map(([name, value]) => `${name}=${value}`);
  fc.assert(
    fc.property(fc.array(other, { maxLength: 6 }), fc.nat(6), fc.nat(199), (others, position, place) => {
      const all = [...others];
      all.splice(Math.min(position, all.length), 0, `bound=${tokens[place]}`);
      const head = headOf(all.join('; '));
      assert.equal(sticky.take(head), place);
      assert.deepEqual(cookiesOf(head), others.length === 0 ? [] : [others.join('; ')]);
    }),
    { seed: 7, numRuns: 500 },
  );
});

test('several fields, several cookies of the name: the first known one counts, and none goes on', () => {
  const { sticky, tokens } = build(3);
  const head = headOf('a=1', `bound=old; b=2; bound=${tokens[2]};bound=${tokens[1]} ; c=3`, `bound=${tokens[0]}`, 'd=4; bound=x');
  assert.equal(sticky.take(head), 2);
  assert.deepEqual(cookiesOf(head), ['a=1', 'b=2; c=3', 'd=4']);
});

test('a value that is not whole, not ours, of another pool or of another key is unknown; a name that is like it is another name', () => {
  const { sticky, tokens } = build(3);
  const token = tokens[1]!;
  const strangers = [
    token.slice(0, -1),
    `${token}A`,
    `"${token}"`,
    '',
    (token[0] === 'A' ? 'B' : 'A') + token.slice(1),
    token.slice(0, -1) + (token.endsWith('A') ? 'Q' : 'A'),
    stickyToken(Buffer.from(KEY, 'base64url'), 'api', '10.0.0.1:8001'),
    stickyToken(Buffer.from('another'), 'web', '10.0.0.1:8001'),
  ];
  for (const value of strangers) {
    const head = headOf(`a=1; bound=${value}`);
    assert.equal(sticky.take(head), UNKNOWN_COOKIE, value);
    assert.deepEqual(cookiesOf(head), ['a=1']);
  }
  for (const cookie of [
    `bounds=${token}`,
    `xbound=${token}`,
    `boun=${token}`,
    `Bound=${token}`,
    `a=bound=${token}`,
    `bound`,
    '',
  ]) {
    const head = headOf(cookie);
    assert.equal(sticky.take(head), NO_COOKIE, cookie);
    assert.deepEqual(cookiesOf(head), [cookie]);
  }
  assert.equal(sticky.take(headOf()), NO_COOKIE);
});

test('an endpoint serves who is bound to it while it is ready, or drains and keeps what is its own, and is not full', () => {
  const { sticky, table, control, pool } = build(2, {}, 1);
  const { slot } = pool.endpoints[1]!;
  assert.equal(sticky.usableAt(1), slot);
  table.begin(slot);
  assert.equal(sticky.usableAt(1), NONE, 'full');
  table.end(slot, 0, 200, 1);
  control.setAdmin(slot, admin.drain);
  assert.equal(sticky.usableAt(1), NONE, 'drains');
  control.setKeeps(slot, true);
  assert.equal(sticky.usableAt(1), slot, 'drains and keeps');
  control.setHealth(slot, health.down);
  assert.equal(sticky.usableAt(1), NONE, 'down');
  assert.equal(sticky.slotAt(1), slot);
});

test('a cookie is Secure when the request came by TLS, unless it is said otherwise', () => {
  for (const [secure, isSecure, expected] of [
    [null, false, false],
    [null, true, true],
    [true, false, true],
    [true, true, true],
    [false, false, false],
    [false, true, false],
  ] as const) {
    const { sticky, pool, tokens } = build(3, { secure });
    const head = headOf();
    sticky.bind(head, pool.endpoints[2]!.slot, isSecure);
    assert.equal(head.value(0), `bound=${tokens[2]}; Path=/${expected ? '; Secure' : ''}`, `${secure} ${isSecure}`);
  }
});

test('Set-Cookie says what the plan says, and is left out where it does not fit', () => {
  const token = build(1).tokens[0];
  const bound = (changes: Partial<StickyPlan>, isSecure = false) => {
    const { sticky, pool } = build(1, changes);
    const head = headOf();
    sticky.bind(head, pool.endpoints[0]!.slot, isSecure);
    assert.equal(head.fields[FIELD_STRIDE * 0], field.setCookie);
    return head.value(0);
  };
  assert.equal(bound({}), `bound=${token}; Path=/`);
  assert.equal(
    bound({ name: 'x', ttlS: 3600, path: '/a', domain: 'a.example', sameSite: 'none', secure: true, httpOnly: true }),
    `x=${token}; Max-Age=3600; Path=/a; Domain=a.example; SameSite=None; Secure; HttpOnly`,
  );
  const { sticky, pool } = build(1);
  const head = headOf();
  head.room = head.used + 20;
  sticky.bind(head, pool.endpoints[0]!.slot, false);
  assert.equal(head.count, 0);
});
