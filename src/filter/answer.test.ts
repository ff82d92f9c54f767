import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault, faults } from '../base/faults.ts';
import { FIELD_STRIDE, fieldIdOf, framing, Head, method } from '../base/head.ts';
import type { HeadersPlan } from '../state/plan.ts';
import {
  ANSWER_HEAD_BYTES,
  acceptKind,
  acceptKinds,
  FaultAnswers,
  httpsRedirect,
  proxyStatusText,
  RequestFacts,
  RouteAnswer,
} from './filter.ts';

const plan: HeadersPlan = {
  xForwarded: true,
  forwarded: false,
  requestId: 'x-request-id',
  via: { request: false, response: false },
  proxyStatus: 'errors',
  cdnLoop: true,
  serverTiming: false,
};
/** A head to fill: somewhere inside of its bytes, with leftovers in it. */
function blank(): Head {
  const head = new Head(new Uint8Array(16384).fill(88), 4);
  head.base = 100;
  head.room = 8192;
  head.append(0, 'left', 'over');
  head.status = 999;
  return head;
}
function request(path = '/a', query: string | null = null, host = 'shop.example:8080', fields: [string, string][] = []): Head {
  const head = new Head(new Uint8Array(8192), 10);
  head.room = 8192;
  head.setPath(path);
  if (query !== null) {
    head.queryStart = head.used;
    head.write(query);
    head.queryEnd = head.used;
  }
  head.setAuthority(host);
  for (const [name, value] of fields) head.append(fieldIdOf(name), name, value);
  return head;
}
function live(head: Head): string[] {
  const lines: string[] = [];
  for (let i = 0; i < head.count; i++) if (head.fields[i * FIELD_STRIDE] !== -1) lines.push(`${head.name(i)}: ${head.value(i)}`);
  return lines;
}
function facts(more: Partial<RequestFacts> = {}): RequestFacts {
  return Object.assign(
    new RequestFacts(),
    { id: '01JD', pool: 'web', method: method.GET, date: 'Tue, 24 Nov 2026 04:12:13 GMT' },
    more,
  );
}
const answers = new FaultAnswers(plan, 'lb-a');
const text = (body: Uint8Array) => Buffer.from(body).toString();

test('a fault becomes a plain body for who asks for nothing else', () => {
  const out = blank();
  const body = answers.fill(out, fault.connectionRefused, facts(), '');
  assert.equal(
    text(body),
    '502 Bad Gateway\nThe endpoint refused the connection.\nreason: connection_refused\nrequest id: 01JD\n',
  );
  assert.equal(out.status, 502);
  assert.equal(out.text(out.reasonStart, out.reasonEnd), 'Bad Gateway');
  assert.deepEqual([out.framing, out.contentLength], [framing.length, body.length]);
  assert.deepEqual(live(out), [
    'content-type: text/plain; charset=utf-8',
    'cache-control: no-store',
    'date: Tue, 24 Nov 2026 04:12:13 GMT',
    'x-request-id: 01JD',
    'proxy-status: lb-a; error=connection_refused; next-hop=web',
  ]);
  assert.deepEqual([out.base, out.room], [100, 8192]);
});

test('JSON is a problem document with reason and id', () => {
  const out = blank();
  const body = answers.fill(out, fault.destinationNotFound, facts({ accept: acceptKinds.json }), 'Nearest is route "x".');
  assert.deepEqual(JSON.parse(text(body)), {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'No route matches this request. Nearest is route "x".',
    reason: 'destination_not_found',
    id: '01JD',
  });
  assert.equal(live(out)[0], 'content-type: application/problem+json');
});

test('HTML escapes everything that came from outside', () => {
  const body = text(
    answers.fill(blank(), fault.badRequest, facts({ accept: acceptKinds.html, id: '<b>"&\'\n' }), '<script>alert(1)</script>'),
  );
  assert.ok(body.startsWith('<!doctype html>'));
  assert.ok(body.includes('&#60;script&#62;alert(1)&#60;/script&#62;'));
  assert.ok(body.includes('request id: &#60;b&#62;&#34;&#38;&#39; '));
  assert.ok(!body.includes('<script>') && !body.includes('<b>'));
});

test('a plain body cannot steer a terminal, a header cannot be split', () => {
  const out = blank();
  const body = text(answers.fill(out, fault.badRequest, facts({ id: 'a\r\nb: c' }), 'x\u001b[31m\u009by'));
  assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(body));
  assert.ok(live(out).includes('x-request-id: a  b: c'));
});

test('a long detail is cut', () => {
  const body = answers.fill(blank(), fault.badRequest, facts(), 'x'.repeat(5000));
  assert.ok(body.length < 700);
});

test('Retry-After goes with 429 and 503, Allow with 405', () => {
  const fieldsOf = (id: number, retryAfterS = 0) => {
    const out = blank();
    answers.fill(out, id, facts({ retryAfterS }), '');
    return live(out);
  };
  for (const id of [fault.draining, fault.overload, fault.destinationUnavailable, fault.rateLimited])
    assert.ok(fieldsOf(id).includes('retry-after: 5'));
  assert.ok(fieldsOf(fault.rateLimited, 17).includes('retry-after: 17'));
  assert.ok(!fieldsOf(fault.connectionRefused).some((f) => f.startsWith('retry-after')));
  assert.ok(fieldsOf(fault.methodNotAllowed).includes('allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH'));
});

test('every fault has an answer that fits its promised room', () => {
  for (const { id, status, reason } of faults) {
    if (id === 0) continue;
    for (const accept of [acceptKinds.plain, acceptKinds.html, acceptKinds.json]) {
      const out = blank();
      out.room = ANSWER_HEAD_BYTES;
      const body = text(answers.fill(out, id, facts({ accept, id: 'i'.repeat(128), pool: 'p'.repeat(64) }), ''));
      assert.ok(out.status >= 400 && out.status !== 499 && (status === 0 || status === 499 || out.status === status), reason);
      assert.ok(out.reasonEnd > out.reasonStart, reason);
      assert.ok(body.includes(reason));
      assert.ok(
        live(out).some((f) => f.startsWith('proxy-status: lb-a; error=')),
        reason,
      );
      assert.equal(out.contentLength, Buffer.byteLength(body));
    }
  }
});

test('HEAD gets the length and no body', () => {
  const out = blank();
  const body = answers.fill(out, fault.connectionRefused, facts({ method: method.HEAD }), '');
  assert.equal(body.length, 0);
  assert.equal(out.framing, framing.none);
  assert.ok(out.contentLength > 50);
});

test('nothing is said that is switched off', () => {
  const out = blank();
  new FaultAnswers({ ...plan, proxyStatus: 'never', requestId: null }, 'lb-a').fill(
    out,
    fault.connectionRefused,
    facts({ date: '' }),
    '',
  );
  assert.deepEqual(live(out), ['content-type: text/plain; charset=utf-8', 'cache-control: no-store']);
});

test('Proxy-Status sends ours as the nearest registered type with details, and quotes names', () => {
  assert.equal(proxyStatusText('lb-a', fault.connectionRefused, 'web'), 'lb-a; error=connection_refused; next-hop=web');
  assert.equal(proxyStatusText('lb-a', fault.queueTimeout, ''), 'lb-a; error=connection_limit_reached; details="queue_timeout"');
  assert.equal(proxyStatusText('7 "x"\\', fault.badRequest, 'ü'), '"7 \\"x\\"\\\\"; error=http_request_error; next-hop="?"');
});

test('a redirect is expanded from the request', () => {
  const answer = new RouteAnswer({ kind: 'redirect', status: 308, location: 'https://shop.example{request.uri}' });
  const out = blank();
  const body = answer.fill(out, request('/a', 'b=1'), facts({ date: '' }));
  assert.deepEqual([out.status, body.length, out.contentLength, out.framing], [308, 0, 0, framing.length]);
  assert.deepEqual(live(out), ['location: https://shop.example/a?b=1']);
  const parts = new RouteAnswer({
    kind: 'redirect',
    status: 302,
    location: '{request.scheme}://{request.host}{request.path}?q={request.query}',
  });
  assert.equal(parts.location(request('/x', 'y'), facts()), 'http://shop.example/x?q=y');
});

test('https takes the place of http, without the port', () => {
  assert.equal(httpsRedirect().location(request('/a', 'b'), facts()), 'https://shop.example/a?b');
  assert.equal(httpsRedirect().location(request('/', null, '[2001:db8::1]:80'), facts()), 'https://[2001:db8::1]/');
});

test('a redirect made of the request cannot leave its host', () => {
  const own = new RouteAnswer({ kind: 'redirect', status: 302, location: '{request.path}' });
  assert.equal(own.location(request('//evil.example/x'), facts()), '/evil.example/x');
  assert.equal(own.location(request('/\\evil.example'), facts()), '/evil.example');
  const other = new RouteAnswer({ kind: 'redirect', status: 302, location: 'https://shop.example{request.uri}' });
  assert.equal(other.location(request('*'), facts()), 'https://shop.example/');
  assert.equal(other.location(request('@evil.example'), facts()), 'https://shop.example/');
  assert.equal(
    new RouteAnswer({ kind: 'redirect', status: 302, location: '//cdn.example/x' }).location(request(), facts()),
    '//cdn.example/x',
  );
});

test('a fixed response has its body, type and headers', () => {
  const answer = new RouteAnswer({
    kind: 'respond',
    status: 200,
    body: 'Grüße\n',
    contentType: 'text/plain; charset=utf-8',
    headers: [{ name: 'X-Path', value: '{request.path}' }],
  });
  const out = blank();
  assert.equal(text(answer.fill(out, request('/robots.txt'), facts({ date: '' }))), 'Grüße\n');
  assert.deepEqual([out.contentLength, out.framing], [8, framing.length]);
  assert.deepEqual(live(out), ['content-type: text/plain; charset=utf-8', 'X-Path: /robots.txt']);
  const none = blank();
  assert.equal(
    new RouteAnswer({ kind: 'respond', status: 204, body: 'x', contentType: 'text/plain', headers: [] }).fill(
      none,
      request(),
      facts(),
    ).length,
    0,
  );
  assert.deepEqual([none.framing, none.contentLength], [framing.none, -1]);
});

test('the body kind follows Accept', () => {
  const kind = (...values: string[]) =>
    acceptKind(
      request(
        '/',
        null,
        'h',
        values.map((v): [string, string] => ['accept', v]),
      ),
    );
  assert.equal(kind(), acceptKinds.plain);
  assert.equal(kind('*/*'), acceptKinds.plain);
  assert.equal(kind('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'), acceptKinds.html);
  assert.equal(kind('application/json'), acceptKinds.json);
  assert.equal(kind('APPLICATION/JSON , text/html'), acceptKinds.json);
  assert.equal(kind('application/vnd.api+json'), acceptKinds.json);
  assert.equal(kind('application/problem+json;q=0.5, text/html;q=0.9'), acceptKinds.html);
  assert.equal(kind('text/html; q=0.5', 'application/json; q=0.8'), acceptKinds.json);
  assert.equal(kind('application/json;q=0'), acceptKinds.plain);
  assert.equal(kind('application/json;q=0.0, text/html;q=0.001'), acceptKinds.html);
  assert.equal(kind('application/jsonp'), acceptKinds.plain);
  assert.equal(kind('text/htmlx, ,;q=1'), acceptKinds.plain);
});
