import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../base/faults.ts';
import { FIELD_STRIDE, fieldIdOf, Head } from '../base/head.ts';
import type { HeadersPlan } from '../state/plan.ts';
import { ForwardedFields, RequestFacts } from './filter.ts';

const off: HeadersPlan = {
  xForwarded: false,
  forwarded: false,
  requestId: null,
  via: { request: false, response: false },
  proxyStatus: 'never',
  cdnLoop: false,
  serverTiming: false,
};
function headOf(fields: readonly (readonly [string, string])[], room = 4096): Head {
  const head = new Head(new Uint8Array(16384), 20);
  head.room = 16384;
  head.setAuthority('shop.example:8443');
  for (const [name, value] of fields) head.append(fieldIdOf(name.toLowerCase()), name, value);
  head.room = head.used + room;
  return head;
}
function live(head: Head): string[] {
  const lines: string[] = [];
  for (let i = 0; i < head.count; i++) if (head.fields[i * FIELD_STRIDE] !== -1) lines.push(`${head.name(i)}: ${head.value(i)}`);
  return lines;
}
function facts(isTrusted: boolean): RequestFacts {
  const f = new RequestFacts();
  Object.assign(f, {
    client: '203.0.113.9',
    peer: '10.0.0.9',
    peerIsTrusted: isTrusted,
    id: 'made-here',
    scheme: 'https',
    listenerPort: '443',
  });
  return f;
}
function edited(plan: Partial<HeadersPlan>, isTrusted: boolean, fields: [string, string][], node = 'lb-a'): string[] {
  const head = headOf(fields);
  assert.equal(new ForwardedFields({ ...off, ...plan }, node).request(head, facts(isTrusted)), 0);
  return live(head);
}

test('an untrusted peer gets all four X-Forwarded fields written new', () => {
  const lies: [string, string][] = [
    ['X-Forwarded-For', '6.6.6.6'],
    ['x-forwarded-proto', 'ftp'],
    ['X-FORWARDED-HOST', 'evil.example'],
    ['X-Forwarded-Port', '1'],
    ['X-Forwarded-Prefix', '/evil'],
    ['x-forwarded-for', '7.7.7.7'],
    ['X-Real-IP', '6.6.6.6'],
    ['Forwarded', 'for=6.6.6.6'],
    ['X-Forwardedness', 'kept'],
  ];
  assert.deepEqual(edited({ xForwarded: true }, false, lies), [
    'X-Forwardedness: kept',
    'x-forwarded-for: 10.0.0.9',
    'x-forwarded-proto: https',
    'x-forwarded-host: shop.example:8443',
    'x-forwarded-port: 443',
  ]);
});

test('what an untrusted peer wrote goes even when nothing is put in its place', () => {
  assert.deepEqual(
    edited({}, false, [
      ['X-Forwarded-For', '6.6.6.6'],
      ['Forwarded', 'for=6.6.6.6'],
      ['X-Forwarded-Ssl', 'on'],
      ['x', 'y'],
    ]),
    ['x: y'],
  );
});

test('from a trusted peer the list goes on in one line and single values stay', () => {
  const fields: [string, string][] = [
    ['X-Forwarded-For', '198.51.100.7'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Proto', 'https'],
    ['x-forwarded-for', ''],
    ['x-forwarded-for', '10.1.1.1, 10.2.2.2'],
    ['X-Forwarded-Host', 'outer.example'],
  ];
  assert.deepEqual(edited({ xForwarded: true }, true, fields), [
    'X-Forwarded-Proto: http',
    'X-Forwarded-Host: outer.example',
    'x-forwarded-for: 198.51.100.7, 10.1.1.1, 10.2.2.2, 10.0.0.9',
    'x-forwarded-port: 443',
  ]);
});

test('Forwarded quotes what is no token', () => {
  assert.deepEqual(edited({ forwarded: true }, false, [['Forwarded', 'for=6.6.6.6']]), [
    'forwarded: for=10.0.0.9;host="shop.example:8443";proto=https',
  ]);
  assert.deepEqual(
    edited({ forwarded: true }, true, [
      ['Forwarded', 'for=1.1.1.1'],
      ['Forwarded', 'for=2.2.2.2'],
    ]),
    ['forwarded: for=1.1.1.1, for=2.2.2.2, for=10.0.0.9;host="shop.example:8443";proto=https'],
  );
  const f = facts(false);
  f.peer = '2001:db8::1';
  const head = headOf([]);
  head.setAuthority('shop.example');
  new ForwardedFields({ ...off, forwarded: true }, 'n').request(head, f);
  assert.deepEqual(live(head), ['forwarded: for="[2001:db8::1]";host=shop.example;proto=https']);
});

test('a request id is made, or taken from a trusted peer when it is sane', () => {
  const plan = { requestId: 'x-request-id' };
  assert.deepEqual(edited(plan, false, []), ['x-request-id: made-here']);
  assert.deepEqual(edited(plan, false, [['X-Request-Id', 'theirs']]), ['x-request-id: made-here']);
  assert.deepEqual(edited(plan, true, [['X-Request-Id', '0199-aB/+=_.~:z']]), ['x-request-id: 0199-aB/+=_.~:z']);
  for (const bad of ['', 'a b', 'a"b', '<script>', 'x'.repeat(129), 'ü']) {
    assert.deepEqual(edited(plan, true, [['X-Request-Id', bad]]), ['x-request-id: made-here'], bad);
  }
  assert.deepEqual(
    edited({ requestId: 'x-trace' }, true, [
      ['X-Trace', 'theirs'],
      ['X-Request-Id', 'kept'],
    ]),
    ['X-Request-Id: kept', 'x-trace: theirs'],
  );
});

test('the id that goes on is the one in the facts, and is echoed on the response instead of the endpoint’s', () => {
  const fields = new ForwardedFields({ ...off, requestId: 'x-request-id' }, 'lb-a');
  const f = facts(true);
  fields.request(headOf([['x-request-id', 'theirs']]), f);
  assert.equal(f.id, 'theirs');
  const response = headOf([['X-Request-Id', 'endpoint']]);
  assert.equal(fields.response(response, f), 0);
  assert.deepEqual(live(response), ['x-request-id: theirs']);
});

test('Via names the version received, on requests and responses as asked', () => {
  assert.deepEqual(edited({ via: { request: true, response: false } }, false, [['Via', '1.0 outer']], 'lb a'), [
    'Via: 1.0 outer',
    'via: 1.1 lb-a',
  ]);
  const response = headOf([]);
  response.version = 10;
  new ForwardedFields({ ...off, via: { request: false, response: true } }, 'lb-a').response(response, facts(false));
  assert.deepEqual(live(response), ['via: 1.0 lb-a']);
});

test('CDN-Loop is appended, and a request that carries our id is a loop', () => {
  assert.deepEqual(edited({ cdnLoop: true }, false, [['CDN-Loop', 'other; q="lb-a, lb-a", lb-ab']]), [
    'CDN-Loop: other; q="lb-a, lb-a", lb-ab',
    'cdn-loop: lb-a',
  ]);
  const fields = new ForwardedFields({ ...off, cdnLoop: true }, 'lb-a');
  for (const value of ['lb-a', 'LB-A', 'x, lb-a', 'x;a="b,\\"", lb-a;v=1', 'lb-a ; x']) {
    assert.equal(
      fields.request(
        headOf([
          ['x', 'y'],
          ['Cdn-Loop', value],
        ]),
        facts(true),
      ),
      fault.proxyLoop,
      value,
    );
  }
  assert.deepEqual(edited({ cdnLoop: false }, false, [['CDN-Loop', 'lb-a']]), ['CDN-Loop: lb-a']);
});

test('Proxy-Status on every response only when always is asked', () => {
  const f = facts(false);
  f.pool = 'web';
  const response = headOf([]);
  response.status = 200;
  new ForwardedFields({ ...off, proxyStatus: 'always' }, 'lb-a').response(response, f);
  assert.deepEqual(live(response), ['proxy-status: lb-a; next-hop=web; received-status=200']);
  const quiet = headOf([]);
  new ForwardedFields({ ...off, proxyStatus: 'errors' }, 'lb-a').response(quiet, f);
  assert.deepEqual(live(quiet), []);
});

test('every field that does not fit is a fault, none is left out in silence', () => {
  const all: HeadersPlan = {
    ...off,
    xForwarded: true,
    forwarded: true,
    requestId: 'x-request-id',
    via: { request: true, response: true },
    proxyStatus: 'always',
    cdnLoop: true,
  };
  const fields = new ForwardedFields(all, 'lb-a');
  const whole = headOf([]);
  assert.equal(fields.request(whole, facts(false)), 0);
  const needed = whole.used - headOf([]).used;
  for (let room = 0; room < needed; room++) {
    assert.equal(fields.request(headOf([], room), facts(false)), fault.headTooLarge, `room ${room}`);
  }
  assert.equal(fields.request(headOf([], needed), facts(false)), 0);
  assert.equal(fields.response(headOf([], 5), facts(false)), fault.responseHeadTooLarge);
});
