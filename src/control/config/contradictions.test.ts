/** What cannot stand together in a config, with words of other programs for the same keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ConfigResult, parseConfig } from './config.ts';

const parse = (text: string): ConfigResult => parseConfig(text, 'weir.yaml', {}, { node: 'lb-a', cores: 2 });
const HEAD = 'version: 1\nlisteners: { web: { listen: ":1", to: web } }\n';
const pool = (keys: string) => `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1", "127.0.0.1:2"], ${keys} } }\n`;
const active = (keys: string) => pool(`health: { active: { ${keys} } }`);
const passive = (keys: string) => pool(`health: { passive: { ${keys} } }`);
const cookie = (keys: string) => pool(`sticky: { cookie: { ${keys} } }`);
const route = (keys: string) => `${pool('balance: random')}routes: [{ path: /a, to: web, ${keys} }]\n`;
const filter = (keys: string) => `${route('use: f')}filters: { f: { ${keys} } }\n`;

// Each row: what is written, code, what is said, what is proposed.
const rows: [text: string, code: string, message: RegExp, help?: RegExp][] = [
  [active('type: redis, path: /x'), 'contradiction', /path does not go with type: redis/, /path belongs to type: http or https/],
  [active('type: tcp, expect: { status: 200 }'), 'contradiction', /expect does not go with type: tcp/],
  [active('type: grpc, method: GET'), 'contradiction', /method does not go with type: grpc/],
  [active('type: mysql, tls: true'), 'contradiction', /tls does not go with type: mysql/, /http, https or grpc/],
  [active('type: postgres, headers: { a: b }'), 'contradiction', /headers does not go/],
  [active('command: [/bin/true]'), 'contradiction', /command does not go with type: http, which is the default/, /type: exec/],
  [active('path: /x, service: a'), 'contradiction', /service does not go with type: http, which is the default/, /type: grpc/],
  [active('type: exec'), 'missing-key', /needs command/, /command: \[/],
  [active('type: exec, command: check'), 'bad-value', /absolute path/, /no PATH/],
  [active('type: exec, command: "/bin/check --fast"'), 'bad-value', /absolute path/, /write a list/],
  [active('type: exec, command: []'), 'bad-value', /cannot be empty/],
  [active('type: exec, command: ["/bin/check", "a\\0b"]'), 'bad-value', /no NUL/],
  [active('method: HEAD, expect: { body: ok }'), 'contradiction', /HEAD has no body/],
  [active('type: https, tls: false'), 'bad-value', /tls: expected true or a map/],
  [active('type: https, tls: { ca: "" }'), 'bad-value', /expected the path of a file/],
  [active('type: https, tls: { serverName: "a b" }'), 'bad-value', /expected a host name/],
  [active('type: https, tls: { sni: a }'), 'unknown-key', /unknown key sni/, /serverName/],
  [active('type: https, tls: { insecureSkipVerify: true }'), 'unknown-key', /insecureSkipVerify/, /verify: false/],
  [active('type: pgsql'), 'bad-value', /'pgsql'/, /did you mean postgres/],
  [active('type: agent'), 'bad-value', /'agent'/, /expected http, https, tcp/],
  [active('type: tcp, fastinter: 1s'), 'unknown-key', /fastinter/, /fastInterval/],
  [active('type: tcp, no_traffic_interval: 1m'), 'unknown-key', /no_traffic_interval/, /idleInterval/],
  [active('unhealthyInterval: 1s'), 'unknown-key', /unhealthyInterval/, /fastInterval/],
  [active('fastInterval: 1'), 'bad-value', /duration with a unit/, /1s/],
  [pool('health: https'), 'bad-value', /expected a path to ask for/, /type: https/],
  [pool('health: pgsql'), 'bad-value', /expected a path to ask for/, /did you mean postgres/],
  [pool('health: { outlierDetection: {} }'), 'unknown-key', /outlierDetection/, /passive/],
  [pool('health: { slowstart: 10s }'), 'unknown-key', /slowstart/, /slowStart/],
  [pool('outlier_detection: {}'), 'unknown-key', /outlier_detection/, /health: \{ passive/],
  [pool('slowStart: 10s'), 'unknown-key', /slowStart/, /health: \{ slowStart/],
  [passive('maxEjectFor: 10s, ejectFor: 30s'), 'contradiction', /maxEjectFor is shorter than ejectFor/],
  [passive('ejectFor: 0s'), 'bad-value', /cannot be 0/],
  [passive('max_fails: 3'), 'unknown-key', /max_fails/, /consecutiveFailures/],
  [passive('fail_timeout: 10s'), 'unknown-key', /fail_timeout/, /ejectFor/],
  [passive('consecutive_5xx: 3'), 'unknown-key', /consecutive_5xx/, /consecutive5xx/],
  [passive('max_ejection_percent: 10%'), 'unknown-key', /max_ejection_percent/, /maxEjected/],
  [passive('errorRatio: 0.5'), 'bad-value', /percentage/, /50%/],
  [passive('latency: 1'), 'bad-value', /0 or a number above 1/],
  [passive('latency: 500ms'), 'bad-value', /0 or a number above 1/, /a factor/],
  [passive('mode: dry-run'), 'bad-value', /'dry-run'/, /shadow/],
  [pool('health: { passive: yes please }'), 'bad-value', /expected true, false or a map/],
  [pool('health: { panicThreshold: 30 }'), 'bad-value', /percentage/, /30%/],
  [pool('balance: { mask: { v4: 33 } }'), 'bad-value', /from 1 to 32/],
  [pool('balance: { mask: { ipv6: 64 } }'), 'unknown-key', /ipv6/, /v6/],
  [pool('balance: { zone: { spillAt: 0.8 } }'), 'bad-value', /percentage/, /80%/],
  [pool('balance: { locality: {} }'), 'unknown-key', /locality/, /zone/],
  [pool('subset: 5'), 'unknown-key', /subset/, /balance: \{ subset/],
  [`zone: "a b"\n${pool('balance: random')}`, 'bad-value', /zone: a name has letters/],
  [pool('sticky: { name: shop }'), 'unknown-key', /name in/, /cookie: \{ name/],
  [pool('sticky: "a b"'), 'bad-value', /sticky: expected the name of a cookie/],
  [pool('sticky: false'), 'bad-value', /sticky: expected true/],
  [pool('stickiness: x'), 'unknown-key', /stickiness/, /sticky/],
  [pool('stick-table: x'), 'unknown-key', /stick-table/, /sticky/],
  [cookie('sameSite: none'), 'contradiction', /browsers drop/, /secure: true/],
  [cookie('sameSite: Lax'), 'bad-value', /'Lax'/, /did you mean lax/],
  [cookie('name: __Secure-a'), 'contradiction', /browsers drop a cookie named __Secure-/, /secure: true/],
  [cookie('name: __Host-a, secure: true, path: /a'), 'contradiction', /named __Host-/],
  [cookie('name: __Host-a, secure: true, domain: a.example'), 'contradiction', /named __Host-/],
  [pool('sticky: __Host-a'), 'contradiction', /named __Host-/],
  [cookie('name: "a=b"'), 'bad-value', /name of a cookie/],
  [cookie('path: "/a;b"'), 'bad-value', /expected a path/],
  [cookie('path: "/a\\r\\nb"'), 'bad-value', /expected a path/],
  [cookie('domain: .shop.example'), 'bad-value', /expected a domain/, /shop\.example/],
  [cookie('domain: "a;b"'), 'bad-value', /expected a domain/],
  [cookie('ttl: 1500ms'), 'bad-value', /whole seconds/],
  [cookie('maxAge: 1h'), 'unknown-key', /maxAge/, /ttl/],
  [cookie('httponly: true'), 'unknown-key', /httponly/, /httpOnly/],
  [cookie('secret: "123456789012345"'), 'bad-value', /at least 16 characters/, /openssl/],
  [pool('circuitBreaker: { max_pending_requests: 1 }'), 'unknown-key', /max_pending_requests/, /maxPending/],
  [pool('circuit_breakers: {}'), 'unknown-key', /circuit_breakers/, /circuitBreaker/],
  [pool('fallback: wbe'), 'no-such-pool', /no pool named wbe/, /did you mean web/],
  [pool('fallback: web'), 'fallback-loop', /circle: web -> web/],
  [pool('fallback: "127.0.0.1:1"'), 'bad-value', /fallback: a name has letters/],
  [route('retry: { hedge: 200 }'), 'bad-value', /duration/, /200ms/],
  [route('retry: { hedging: 200ms }'), 'unknown-key', /hedging/, /did you mean hedge/],
  [route('retry: { base_interval: 25ms }'), 'unknown-key', /base_interval/, /backoff/],
  [route('urgency: 8'), 'bad-value', /from 0 to 7/],
  [route('sticky: x'), 'unknown-key', /sticky/, /sticky of the pool/],
  [route('rateLimit: 1/s'), 'unknown-key', /rateLimit/, /a filter with rateLimit/],
  [filter('rateLimit: 100'), 'bad-value', /expected requests in a time/, /100\/s/],
  [filter('rateLimit: 10r/m'), 'bad-value', /expected requests in a time/, /10\/m/],
  [filter('rateLimit: 0.5/s'), 'bad-value', /expected requests in a time/, /30\/m/],
  [filter('rateLimit: "100 per hour"'), 'bad-value', /expected requests in a time/, /100\/h/],
  [filter('rateLimit: 0/s'), 'bad-value', /at least 1/, /access/],
  [filter('rateLimit: 999999999999/s'), 'bad-value', /burst is at most/],
  [filter('rateLimit: { rate: 20000000/s, algorithm: sliding-window }'), 'bad-value', /at most 16000000/],
  [filter('rateLimit: { burst: 5 }'), 'missing-key', /needs rate/],
  [filter('rateLimit: { rate: 1/s, burst: 0 }'), 'bad-value', /whole number from 1/],
  [filter('rateLimit: { rate: 1/s, burst: 5, algorithm: sliding-window }'), 'contradiction', /has no burst/, /token-bucket/],
  [filter('rateLimit: { rate: 1/s, key: "{client.name}" }'), 'bad-value', /no placeholder \{client\.name\}/],
  [filter('rateLimit: { rate: 1/s, scope: cluster }'), 'not-yet', /'cluster' is not available/, /local/],
  [filter('rateLimit: { rate: 1/s, algorithm: gcra }'), 'bad-value', /'gcra'/, /token-bucket/],
  [filter('rateLimit: { average: 1 }'), 'unknown-key', /average/, /rate/],
  [filter('limit_req: 1/s'), 'unknown-key', /limit_req/, /rateLimit/],
  [filter('access: { deny: [all], dryRun: true }'), 'unknown-key', /dryRun/, /mode/],
];

for (const [text, code, message, help] of rows) {
  const written = text.split('\n').findLast((line) => line !== '')!;
  test(`${written} is an error with its reason`, () => {
    const { plan, faults } = parse(text);
    assert.equal(plan, null);
    const fault = faults.find((f) => f.code === code && message.test(f.message));
    assert.ok(fault, `got ${JSON.stringify(faults, null, 1)}`);
    assert.equal(faults.length, 1, `only this one: ${JSON.stringify(faults.map((f) => f.message))}`);
    if (help) assert.match(fault.help ?? '', help);
  });
}

// The neighbours of those rows that are right.
for (const text of [
  active('type: https, host: a.example, tls: { verify: false }'),
  active('tls: true'),
  active('type: grpc, service: "", host: a, tls: true'),
  active('type: exec, command: [/bin/check, "two words"], port: 9'),
  active('method: GET, expect: { body: ok }'),
  passive('maxEjectFor: 30s, ejectFor: 30s'),
  passive('latency: 1.5'),
  cookie('sameSite: none, secure: true'),
  cookie('name: __Host-a, secure: true, path: /'),
  cookie('name: __Secure-a, secure: true, domain: a.example'),
  cookie('secret: "1234567890123456"'),
  filter('rateLimit: { rate: 10/m, algorithm: sliding-window }'),
  filter('rateLimit: 500000000/s'),
]) {
  const written = text.split('\n').findLast((line) => line !== '')!;
  test(`${written} is right`, () => {
    const { faults, warnings } = parse(text);
    assert.deepEqual([faults, warnings], [[], []]);
  });
}

test('every circle of fallbacks is told once, at the pool that stands first', () => {
  const one = (name: string, fallback: string) => `  ${name}: { endpoints: ["127.0.0.1:1"], fallback: ${fallback} }\n`;
  const way = one('web', 'a') + one('a', 'b') + one('b', 'c') + one('c', 'a') + one('d', 'e') + one('e', 'd');
  const { faults } = parse(`${HEAD}pools:\n${way}`);
  assert.deepEqual(
    faults.map((f) => [f.code, f.line, f.message.replace(/.*circle: /, '')]),
    [
      ['fallback-loop', 5, 'a -> b -> c -> a'],
      ['fallback-loop', 8, 'd -> e -> d'],
    ],
  );
  assert.deepEqual(parse(`${HEAD}pools:\n${one('web', 'a')}${one('a', 'b')}  b: { endpoints: ["127.0.0.1:1"] }\n`).faults, []);
});

test('errors of several keys come together with all others', () => {
  const text = `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], healthh: tcp, health: { active: { type: redis, path: /x } }, sticky: { cookie: { sameSite: none } }, fallback: wbe } }\n`;
  assert.deepEqual(
    parse(text).faults.map((f) => f.code),
    ['unknown-key', 'contradiction', 'contradiction', 'no-such-pool'],
  );
});
