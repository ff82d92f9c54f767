/** Keys of connections and datagrams: what they become, what cannot stand together, and the words of other programs for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListenerPlan } from '../../state/plan.ts';
import { assignIds } from './assign.ts';
import { type ConfigResult, parseConfig } from './config.ts';

const parse = (text: string): ConfigResult => parseConfig(text, 'weir.yaml', {}, { node: 'lb-a', cores: 2 });
const POOLS = `pools:
  a: { endpoints: ["10.0.0.1:1", "10.0.0.2:1"] }
  b: { endpoints: ["10.0.0.3:1"] }
`;
const listener = (keys: string, more = POOLS) => `version: 1\nlisteners: { in: { listen: ":1", ${keys} } }\n${more}`;
const tcp = (keys: string, more = '') => listener(`protocol: tcp, to: a${keys === '' ? '' : `, ${keys}`}`, POOLS + more);
const udp = (keys: string) => listener(`protocol: udp, to: a${keys === '' ? '' : `, ${keys}`}`);
const routes = (...written: string[]) => tcp('', `routes:\n${written.map((route) => `  - ${route}\n`).join('')}`);
const pool = (keys: string) =>
  `version: 1\nlisteners: { in: { listen: ":1", protocol: tcp, to: a } }\npools: { a: { endpoints: ["10.0.0.1:1", "10.0.0.2:1"], ${keys} } }\n`;
const asked = (keys: string) => pool(keys).replace(', protocol: tcp', '');
const datagrams = (keys: string) => pool(keys).replace('tcp', 'udp');

function planOf(text: string): NonNullable<ConfigResult['plan']> {
  const { plan, faults } = parse(text);
  assert.deepEqual(faults, []);
  return plan!;
}
const inOf = (text: string): ListenerPlan => planOf(text).listeners[0];
/** Names of the streams in the order they are asked. */
const order = (text: string) => inOf(text).streams.map(({ name }) => name);

test('a listener of connections gets every default', () => {
  const plan = planOf(tcp(''));
  const { protocol, streams, sniffMs, tls, proxyProtocol, udp: datagrams } = plan.listeners[0];
  assert.deepEqual(
    { protocol, streams, sniffMs, tls, proxyProtocol, datagrams },
    {
      protocol: 'tcp',
      streams: [
        {
          id: -1,
          name: 'listener/in',
          source: 'weir.yaml:2',
          match: { serverName: null, alpn: null, clients: null },
          target: { pools: [{ pool: 0, weight: 1 }] },
          timeouts: { connectMs: 1000, idleMs: 3_600_000, totalMs: 0, halfClosedMs: 30_000 },
          attempts: 2,
        },
      ],
      sniffMs: 5000,
      tls: null,
      proxyProtocol: null,
      datagrams: null,
    },
  );
  assert.deepEqual(plan.routes, [], 'a to of connections is no route of requests');
  const { protocol: kind, proxyProtocol: line, sourceAddress } = plan.pools[0];
  assert.deepEqual({ kind, line, sourceAddress }, { kind: 'tcp', line: 0, sourceAddress: null });
});

test('every key of a listener of connections arrives in the plan', () => {
  const { streams, sniffMs, proxyProtocol, limits } = inOf(
    tcp(
      'sniffTimeout: 2s, timeouts: { connect: 2s, idle: 3m, total: 4h, halfClosed: 5s }, limits: { connections: 6, connectionsPerIp: 7, bufferSize: 64KiB }, proxyProtocol: { accept: optional, from: [10.0.0.0/8] }',
      'routes: [{ alpn: h2, to: b }]\n',
    ),
  );
  assert.deepEqual(streams[1].timeouts, { connectMs: 2000, idleMs: 180_000, totalMs: 14_400_000, halfClosedMs: 5000 });
  assert.equal(sniffMs, 2000);
  assert.deepEqual(proxyProtocol, { isRequired: false, from: [{ bytes: [10, 0, 0, 0], bits: 8 }] });
  assert.deepEqual([limits.connectionsMax, limits.connectionsPerIpMax, limits.bufferBytesMax], [6, 7, 65_536]);
});

test('a PROXY line is required of those who are named, unless it is optional', () => {
  assert.equal(inOf(tcp('proxyProtocol: { from: private }')).proxyProtocol!.isRequired, true);
  const http = 'proxyProtocol: { from: 10.0.0.1 }, to: a';
  assert.deepEqual(inOf(listener(http)).proxyProtocol!.from, [{ bytes: [10, 0, 0, 1], bits: 32 }], 'requests may have one, too');
});

test('a listener of datagrams gets every default, and every key arrives', () => {
  assert.deepEqual(inOf(udp('')).udp, {
    idleMs: 30_000,
    responses: 0,
    sessionsMax: 65_536,
    sessionsPerIpMax: 1024,
    whenFull: 'oldest',
  });
  const { udp: written, streams } = inOf(
    udp('udp: { idle: 5s, responses: 1, sessions: 10, sessionsPerIp: 2, whenFull: refuse }'),
  );
  assert.deepEqual(written, { idleMs: 5000, responses: 1, sessionsMax: 10, sessionsPerIpMax: 2, whenFull: 'refuse' });
  assert.equal(streams[0].timeouts.idleMs, 5000);
  assert.equal(planOf(udp('')).pools[0].protocol, 'udp');
  assert.equal(planOf(udp('')).pools[0].connections.queueMax, 0, 'they never wait');
  assert.equal(inOf(udp('timeouts: { total: 1h }')).streams[0].timeouts.totalMs, 3_600_000);
});

test('the times of a route win over those of its listener, and these over the defaults', () => {
  const { streams } = inOf(
    tcp(
      'timeouts: { connect: 2s, idle: 2m }',
      'routes: [{ sni: a.example, to: b, timeouts: { idle: 1m, total: 9s }, retry: { attempts: 4 } }]\ndefaults: { timeouts: { connect: 9s, idle: 9s, halfClosed: 9s }, retry: { attempts: 3 } }\n',
    ),
  );
  assert.deepEqual(streams[0].timeouts, { connectMs: 2000, idleMs: 60_000, totalMs: 9000, halfClosedMs: 9000 });
  assert.deepEqual([streams[0].attempts, streams[1].attempts], [4, 3]);
  const { streams: quiet } = inOf(tcp('', 'defaults: { timeouts: { idle: 9s } }\n'));
  assert.equal(quiet[0].timeouts.idleMs, 3_600_000, 'idle of defaults is that of requests');
});

test('a route has a stream for each of its names and listeners, all of one name', () => {
  const plan = planOf(`version: 1
listeners:
  t: { listen: ":1", protocol: tcp }
  u: { listen: ":2", protocol: auto, timeouts: { idle: 1m } }
  h: { listen: ":3", to: web }
routes:
  - { sni: [a.example, "*.B.example."], alpn: [h2, imap], client: 10.0.0.0/8, to: "10.0.0.1:443" }
  - { path: /x, to: web }
pools: { web: { endpoints: ["10.0.0.2:80"] } }
`);
  const [t, u, h] = plan.listeners;
  assert.deepEqual(h.streams, []);
  assert.deepEqual(
    t.streams.map(({ match }) => match.serverName),
    [
      { value: 'a.example', wildcard: false },
      { value: 'b.example', wildcard: true },
    ],
  );
  assert.deepEqual(t.streams[0].match.alpn, ['h2', 'imap']);
  assert.deepEqual(t.streams[0].match.clients, [{ bytes: [10, 0, 0, 0], bits: 8 }]);
  assert.deepEqual([t.streams[0].timeouts.idleMs, u.streams[0].timeouts.idleMs], [3_600_000, 60_000]);
  assert.deepEqual(new Set([...t.streams, ...u.streams].map(({ name }) => name)).size, 1);
  assert.deepEqual(
    plan.routes.map(({ name }) => name),
    ['*/x', 'listener/h'],
  );
  assert.deepEqual(
    plan.pools.map(({ name, protocol }) => [name, protocol]),
    [
      ['web', 'http'],
      ['route/sni a.example alpn h2,imap from 10.0.0.0/8', 'tcp'],
    ],
  );
});

test('of two routes of connections the more specific is asked first, in whatever order they are written', () => {
  const pairs: [string, string][] = [
    ['sni: a.example', 'sni: "*.example", alpn: h2, client: 10.0.0.0/8'],
    ['sni: "*.b.example"', 'sni: "*.example", alpn: h2'],
    ['sni: "*.example"', 'alpn: h2, client: 10.0.0.0/8'],
    ['alpn: h2', 'listener: in, client: 10.0.0.0/8'],
    ['alpn: h2, client: 10.0.0.0/8', 'alpn: h2'],
    ['client: 10.0.0.0/8, listener: in', 'listener: in'],
    ['priority: 1, listener: in', 'sni: a.example'],
  ];
  for (const [first, second] of pairs) {
    const named = (name: string, keys: string) => `{ name: ${name}, ${keys}, to: b }`;
    const [one, two] = [named('first', first), named('second', second)];
    assert.deepEqual(order(routes(one, two)), ['first', 'second', 'listener/in'], `${first} before ${second}`);
    assert.deepEqual(order(routes(two, one)), ['first', 'second', 'listener/in'], `${first} before ${second}, turned round`);
  }
});

test('a route of a listener that carries connections is one of connections, whatever it matches', () => {
  const mixed = `version: 1
listeners: { t: { listen: ":1", protocol: tcp }, h: { listen: ":2" } }
pools: { a: { endpoints: ["10.0.0.1:1"] }, b: { endpoints: ["10.0.0.2:1"] } }
routes: [{ name: one, client: 10.0.0.0/8, listener: t, to: a }, { name: two, client: 10.0.0.0/8, to: b }]
`;
  const plan = planOf(mixed);
  assert.deepEqual(
    plan.listeners[0].streams.map(({ name }) => name),
    ['one'],
  );
  assert.deepEqual(
    plan.routes.map(({ name }) => name),
    ['two'],
    'where requests come in, too, a route that does not say more is one of requests',
  );
});

test('requests at an auto listener go by routes, all else where its to says', () => {
  const plan = planOf(listener('protocol: auto, to: a', `${POOLS}routes: [{ to: b }]\n`));
  assert.deepEqual(
    plan.pools.map(({ protocol }) => protocol),
    ['tcp', 'http'],
  );
  assert.deepEqual(
    plan.listeners[0].streams.map(({ name }) => name),
    ['listener/in'],
  );
  assert.deepEqual(
    plan.routes.map(({ action }) => action),
    [{ kind: 'forward', pools: [{ pool: 1, weight: 1 }] }],
  );
});

test('a fallback is of the kind of the pool it stands in for', () => {
  const plan = planOf(
    'version: 1\nlisteners: { in: { listen: ":1", protocol: tcp, to: a } }\npools: { c: { endpoints: ["10.0.0.3:1"] }, b: { endpoints: ["10.0.0.2:1"], fallback: c }, a: { endpoints: ["10.0.0.1:1"], fallback: b } }\n',
  );
  assert.deepEqual(
    plan.pools.map(({ protocol }) => protocol),
    ['tcp', 'tcp', 'tcp'],
  );
});

test('what a pool sends, and from where, arrives in the plan and in its checks', () => {
  const { pools } = planOf(pool('proxyProtocol: v2, source: { addresses: ["10.0.0.5", "2001:DB8::5"] }, health: postgres'));
  assert.equal(pools[0].proxyProtocol, 2);
  assert.equal(pools[0].health.active!.proxyProtocol, 2);
  assert.deepEqual(pools[0].sourceAddress, { addresses: ['10.0.0.5', '2001:db8::5'], isTransparent: false });
  const other = planOf(pool('proxyProtocol: v1, source: { transparent: true }, health: { active: { path: /, port: 8008 } }'));
  assert.equal(other.pools[0].proxyProtocol, 1);
  assert.equal(other.pools[0].health.active!.proxyProtocol, 0, 'another port is another program');
  const [requests] = planOf(asked('proxyProtocol: v1, health: /alive')).pools;
  assert.deepEqual([requests.protocol, requests.proxyProtocol, requests.health.active!.proxyProtocol], ['http', 1, 1]);
  assert.deepEqual(other.pools[0].sourceAddress, { addresses: [], isTransparent: true });
  const http = listener('to: a').replace('a: {', 'a: { source: { addresses: 10.0.0.5 },');
  assert.deepEqual(planOf(http).pools[0].sourceAddress!.addresses, ['10.0.0.5'], 'requests have one, too');
  assert.equal(planOf(pool('source: { transparent: false }')).pools[0].sourceAddress, null);
});

test('streams of one name get one id, and a route of requests of another name another', () => {
  const plan = planOf(tcp('', 'routes: [{ name: r, sni: [a.example, b.example], to: b }]\n'));
  const ids = new Map<string, number>();
  const claimId = (kind: string, name: string): number => {
    const key = `${kind} ${name}`;
    if (!ids.has(key)) ids.set(key, ids.size);
    return ids.get(key)!;
  };
  const assigned = assignIds(plan, { claimId, claimSlot: () => 0 });
  const [first, second, rest] = assigned.plan.listeners[0].streams;
  assert.equal(first.id, ids.get('route r'));
  assert.equal(second.id, first.id);
  assert.equal(rest.id, ids.get('route listener/in'));
});

test('a TCP and a UDP listener may have the same address, two of a kind may not', () => {
  const both = (second: string) =>
    parse(
      `version: 1\nlisteners: { t: { listen: ":53", protocol: tcp, to: ["10.0.0.1:53"] }, u: { listen: ":53", protocol: ${second}, to: ["10.0.0.1:53"] } }\n`,
    ).faults.map(({ code }) => code);
  assert.deepEqual(both('udp'), []);
  assert.deepEqual(both('auto'), ['defined-twice']);
});

// Each row: what is written, code, what is said, what is proposed.
const wrong: [text: string, code: string, message: RegExp, help?: RegExp][] = [
  // Whom to believe is never left open.
  [tcp('proxyProtocol: required'), 'bad-value', /says who is believed/, /\{ accept: required, from: \[10/],
  [tcp('proxyProtocol: optional'), 'bad-value', /says who is believed/, /\{ accept: optional, from: \[10/],
  [tcp('proxyProtocol: true'), 'bad-value', /says who is believed/, /from/],
  [tcp('proxyProtocol: { accept: required }'), 'missing-key', /proxyProtocol needs from/],
  [tcp('proxyProtocol: { accept: maybe, from: all }'), 'bad-value', /accept cannot be 'maybe'/, /required or optional/],
  // Keys of another kind of listener.
  [tcp('udp: { idle: 3s }'), 'contradiction', /udp does not go with protocol: tcp/, /protocol: udp/],
  [tcp('redirectToHttps: true'), 'contradiction', /redirectToHttps does not go with protocol: tcp/, /http or auto/],
  [tcp('clientIp: { trust: private }'), 'contradiction', /clientIp does not go/],
  [tcp('underscores: drop'), 'contradiction', /underscores does not go/],
  [tcp('limits: { headerSize: 1KiB }'), 'contradiction', /headerSize does not go/],
  [tcp('timeouts: { header: 1s }'), 'contradiction', /header does not go/],
  [listener('to: a, sniffTimeout: 1s'), 'contradiction', /sniffTimeout does not go with protocol: http, which is the default/],
  [listener('to: a, timeouts: { total: 1s }'), 'contradiction', /total does not go with protocol: http/],
  [listener('to: a, timeouts: { connect: 1s }'), 'contradiction', /connect does not go/, /belongs to routes/],
  [udp('proxyProtocol: { from: all }'), 'contradiction', /proxyProtocol does not go with protocol: udp/],
  [udp('timeouts: { idle: 1s }'), 'contradiction', /idle does not go/, /udp: \{ idle/],
  [udp('limits: { connections: 1 }'), 'contradiction', /connections does not go/, /sessions/],
  [listener('protocol: auto, to: a, udp: {}'), 'contradiction', /udp does not go with protocol: auto/],
  [
    'version: 1\nlisteners: { in: { listen: "unix:/run/x", protocol: udp, to: ["10.0.0.1:1"] } }\n',
    'contradiction',
    /datagrams have an IP address/,
  ],
  // Routes of connections take no keys of requests, nor the other way round.
  [
    routes('{ sni: a.example, host: a.example, to: b }'),
    'contradiction',
    /host does not go.*it matches by sni/,
    /matched by sni/,
  ],
  [routes('{ alpn: h2, path: /a, to: b }'), 'contradiction', /path does not go.*it matches by alpn/, /nothing in a connection/],
  [routes('{ method: GET, to: b }'), 'contradiction', /method does not go.*its listeners carry connections/],
  [
    routes('{ sni: a.example, to: b, use: f }').replace('routes', 'filters: { f: {} }\nroutes'),
    'contradiction',
    /use does not go/,
  ],
  [routes('{ sni: a.example, redirect: "https://b.example" }'), 'contradiction', /redirect does not go/],
  [routes('{ sni: a.example, to: b, timeouts: { response: 1s } }'), 'contradiction', /response does not go/, /halfClosed/],
  [
    listener('protocol: udp, to: a', `${POOLS}routes: [{ client: 10.0.0.0/8, to: b, timeouts: { total: 1h, idle: 1s } }]\n`),
    'contradiction',
    /idle does not go with a route of datagrams/,
    /udp: \{ idle/,
  ],
  [routes('{ sni: a.example, to: b, retry: { on: ["502"] } }'), 'contradiction', /retry: on does not go/, /attempts/],
  [
    listener('to: a', `${POOLS}routes: [{ path: /a, to: a, timeouts: { total: 1s } }]\n`),
    'contradiction',
    /total belongs to routes of connections/,
    /request/,
  ],
  [
    listener('to: a', `${POOLS}routes: [{ sni: a.example, to: b }]\n`),
    'contradiction',
    /sni needs a listener with protocol: tcp/,
  ],
  [
    listener('to: a', `${POOLS}routes: [{ sni: a.example, listener: in, to: b }]\n`),
    'contradiction',
    /sni does not go with listener in, which takes requests/,
    /host is the name in a request/,
  ],
  [
    listener('protocol: udp, to: a', `${POOLS}routes: [{ alpn: h3, listener: in, to: b }]\n`),
    'contradiction',
    /alpn does not go with listener in, which takes datagrams/,
  ],
  [
    'version: 1\nlisteners: { t: { listen: ":1", protocol: tcp }, h: { listen: ":2" } }\nroutes: [{ listener: [t, h], to: ["10.0.0.1:1"] }]\n',
    'contradiction',
    /listener t carries connections, and the others of this route requests/,
  ],
  [
    'version: 1\nlisteners: { t: { listen: ":1", protocol: tcp }, u: { listen: ":1", protocol: udp } }\nroutes: [{ to: ["10.0.0.1:1"] }]\n',
    'contradiction',
    /its listeners carry connections and datagrams/,
  ],
  [
    tcp('', 'tests: [{ request: "GET http://a/", listener: in, expect: { status: 404 } }]\n'),
    'contradiction',
    /knows no requests/,
  ],
  [tcp('', 'tests: [{ expect: { pool: a } }]\n'), 'bad-value', /exactly one of request or connect/],
  [
    tcp('', 'tests: [{ request: "GET http://a/", connect: in, expect: { pool: a } }]\n'),
    'bad-value',
    /exactly one of request or connect/,
  ],
  [
    tcp('', 'tests: [{ connect: in, headers: { a: b }, expect: { pool: a } }]\n'),
    'contradiction',
    /headers does not go with connect/,
  ],
  [
    tcp('', 'tests: [{ connect: in, expect: { status: 404 } }]\n'),
    'contradiction',
    /status does not go with connect/,
    /a route and a pool/,
  ],
  [listener('to: a', `${POOLS}tests: [{ connect: in, expect: { pool: a } }]\n`), 'contradiction', /listener in takes requests/],
  [
    listener('to: a', `${POOLS}tests: [{ request: "GET http://a/", sni: a, expect: { pool: a } }]\n`),
    'contradiction',
    /sni does not go with request/,
  ],
  [tcp('', 'tests: [{ connect: inn, expect: { pool: a } }]\n'), 'no-such-listener', /inn/, /did you mean in\?/],
  [tcp('', 'tests: [{ connect: in, sni: "*.a.example", expect: { pool: a } }]\n'), 'bad-value', /sni: expected a name/],
  // Names.
  [routes('{ sni: "a.example:443", to: b }'), 'bad-value', /without a port/, /did you mean a\.example\?/],
  [routes('{ sni: "https://a.example", to: b }'), 'bad-value', /expected a name/, /did you mean a\.example\?/],
  [routes('{ sni: "*", to: b }'), 'bad-value', /left out/],
  [routes('{ sni: default, to: b }'), 'bad-value', /left out/],
  [routes('{ sni: .a.example, to: b }'), 'bad-value', /expected a name/, /did you mean \[a\.example, "\*\.a\.example"\]/],
  [routes('{ sni: "~^a[.]example$", to: b }'), 'bad-value', /no regular expression/, /\*\.shop\.example/],
  [routes('{ sni: "a.*.example", to: b }'), 'bad-value', /expected a name/, /only in front/],
  [routes('{ sni: 10.0.0.1, to: b }'), 'bad-value', /send no name/],
  [routes('{ sni: bücher.example, to: b }'), 'bad-value', /xn--/],
  [routes('{ sni: [], to: b }'), 'bad-value', /cannot be empty/],
  [routes('{ alpn: "h 2", to: b }'), 'bad-value', /name of a protocol/],
  // A pool is of one kind.
  [
    'version: 1\nlisteners: { t: { listen: ":1", protocol: tcp, to: a }, h: { listen: ":2", to: a } }\npools: { a: { endpoints: ["10.0.0.1:1"] } }\n',
    'pool-protocol',
    /listener h sends requests to pool a, and listener t sends it connections/,
    /same endpoints/,
  ],
  [pool('protocol: http'), 'pool-protocol', /listener in sends connections to pool a, which is for requests/, /protocol: tcp/],
  [pool('protocol: udp'), 'pool-protocol', /which is for datagrams/],
  [
    'version: 1\nlisteners: { in: { listen: ":1", protocol: tcp, to: a } }\npools: { a: { endpoints: ["10.0.0.1:1"], fallback: b }, b: { endpoints: ["10.0.0.2:1"], protocol: http } }\n',
    'pool-protocol',
    /pool a sends connections to pool b, which is for requests/,
  ],
  [
    routes('{ sni: a.example, to: { a: 1, b: 1 } }').replace('b: {', 'b: { protocol: http,'),
    'pool-protocol',
    /route 0 sends connections to pool b/,
  ],
  [pool('sticky: true'), 'contradiction', /sticky does not go with connections, which carry no cookies/, /source/],
  [
    pool('balance: { algorithm: maglev, hashOn: "{request.path}" }'),
    'contradiction',
    /\{request\.path\} does not go/,
    /client\.ip/,
  ],
  [
    pool('source: { addresses: 10.0.0.1, transparent: true }'),
    'contradiction',
    /the client's \(transparent\), or one of addresses/,
  ],
  [pool('source: { addresses: "10.0.0.1:80" }'), 'bad-value', /an IP address of this machine/, /did you mean 10\.0\.0\.1\?/],
  [pool('source: { addresses: eth0 }'), 'bad-value', /an IP address of this machine/],
  [pool('proxyProtocol: v3'), 'bad-value', /'v3'/, /v[12]/],
  [
    listener('to: a').replace('a: {', 'a: { source: { transparent: true },'),
    'contradiction',
    /transparent does not go with requests/,
    /proxyProtocol/,
  ],
  [udp('').replace('a: {', 'a: { proxyProtocol: v2,'), 'contradiction', /proxyProtocol does not go with datagrams/],
  // Words of HAProxy, nginx and Envoy.
  [listener('mode: tcp, to: a'), 'unknown-key', /mode/, /protocol/],
  [listener('protocol: stream, to: a'), 'bad-value', /'stream'/, /tcp/],
  [listener('protocol: tls, to: a'), 'bad-value', /'tls'/, /https or tcp, with tls/],
  [listener('protocol: tcp+udp, to: a'), 'bad-value', /'tcp\+udp'/, /second listener/],
  [tcp('maxconn: 5'), 'unknown-key', /maxconn/, /limits: \{ connections/],
  [tcp('').replace('":1"', '"udp/:1"'), 'bad-value', /expected an address/, /did you mean :1, with protocol: udp/],
  [tcp('').replace('":1"', '"tcp://:1"'), 'bad-value', /expected an address/, /did you mean :1, with protocol: tcp/],
  [tcp('').replace('":1"', '":1 accept-proxy"'), 'bad-value', /expected an address/, /write :1 alone; .*proxyProtocol/],
  [tcp('').replace('"10.0.0.1:1"', '"10.0.0.1:1 backup"'), 'bad-value', /address of an endpoint/, /takes a map/],
  [tcp('').replace('"10.0.0.1:1"', '{ address: "10.0.0.1:1", inter: 2s }'), 'unknown-key', /inter/, /interval: … .* of the pool/],
  [tcp('', 'routes: [{ server_name: a.example, to: b }]\n'), 'unknown-key', /server_name/, /sni/],
  [pool('maxconn: 5'), 'unknown-key', /maxconn/, /maxConnections of each endpoint/],
  [pool('timeouts: { connect: 1s }'), 'unknown-key', /timeouts/, /a listener of connections/],
  [listener('accept-proxy: true, to: a'), 'unknown-key', /accept-proxy/, /proxyProtocol: \{ accept: required/],
  [tcp('ssl_preread: on'), 'unknown-key', /ssl_preread/, /routes with sni/],
  [tcp('idle_timeout: 1h'), 'unknown-key', /idle_timeout/, /timeouts: \{ idle/],
  [udp('proxy_responses: 1'), 'unknown-key', /proxy_responses/, /udp: \{ responses/],
  [udp('udp: { proxy_timeout: 1s }'), 'unknown-key', /proxy_timeout/, /idle/],
  [udp('udp: { whenFull: evict }'), 'bad-value', /'evict'/, /oldest/],
  [tcp('timeouts: { client-fin: 1s }'), 'unknown-key', /client-fin/, /halfClosed/],
  [tcp('', 'routes: [{ req_ssl_sni: a.example, to: b }]\n'), 'unknown-key', /req_ssl_sni/, /sni/],
  [pool('send-proxy-v2: true'), 'unknown-key', /send-proxy-v2/, /proxyProtocol: v2/],
  [pool('proxyProtocol: send-proxy'), 'bad-value', /'send-proxy'/, /v1/],
  [pool('connections: { source: 10.0.0.1 }'), 'unknown-key', /source/, /source: \{ addresses/],
  [pool('proxy_bind: 10.0.0.1'), 'unknown-key', /proxy_bind/, /source/],
];

for (const [text, code, message, help] of wrong) {
  test(`${code}: ${text.replace(/\s+/g, ' ').slice(11, 190)} says ${message}`, () => {
    const { faults } = parse(text);
    const found = faults.find((fault) => fault.code === code && message.test(fault.message));
    assert.ok(found, JSON.stringify(faults.map((fault) => `${fault.code} ${fault.message} / ${fault.help}`)));
    if (help) assert.match(found.help ?? '', help);
    assert.ok(found.line > 0);
  });
}

test('what has the right form and is out of bounds is not suggested again', () => {
  for (const [text, why] of [
    [tcp('timeouts: { halfClosed: 0s }'), /cannot be 0/],
    [tcp('limits: { bufferSize: 1KiB }'), /this size is/],
  ] as const) {
    const { faults } = parse(text);
    assert.match(faults[0].message, why);
    assert.equal(faults[0].help, null);
  }
});

test('an address of this machine beside all of them is listened on twice, as the kernel has it', () => {
  const two = (a: string, b: string) =>
    parse(
      `version: 1\nlisteners: { x: { listen: "${a}", protocol: tcp, to: a }, y: { listen: "${b}", protocol: tcp, to: b } }\n${POOLS}`,
    );
  for (const [a, b, wide] of [
    [':1', '127.0.0.1:1', ':1'],
    ['127.0.0.1:1', ':1', ':1'],
    [':1', '[::1]:1', ':1'],
    ['[::]:1', '0.0.0.0:1', '[::]:1'],
    ['10.0.0.1:1', '0.0.0.0:1', '0.0.0.0:1'],
  ] as const) {
    const { faults } = two(a, b);
    assert.deepEqual(
      faults.map(({ code, message }) => `${code} ${message}`),
      [`defined-twice this address is listened on twice: ${wide} is all addresses of this machine`],
    );
    assert.ok(faults[0].also !== null);
  }
  for (const [a, b] of [
    ['127.0.0.1:1', '127.0.0.2:1'],
    ['0.0.0.0:1', '[::1]:1'],
    [':0', ':0'],
    [':1', ':2'],
    ['unix:/a', 'unix:/b'],
  ] as const)
    assert.deepEqual(two(a, b).faults, []);
  const admin = parse(`${tcp('')}admin: { listen: "127.0.0.1:1" }\n`);
  assert.match(admin.faults[0].message, /listened on twice: :1 is all addresses/);
  const dns = `version: 1\nlisteners: { x: { listen: ":1", protocol: tcp, to: a }, y: { listen: "10.0.0.1:1", protocol: udp, to: b } }\n${POOLS}`;
  assert.deepEqual(parse(dns).faults, []);
});

test('a pool of two kinds is told once, with both places', () => {
  const { faults } = parse(
    'version: 1\nlisteners:\n  t: { listen: ":1", protocol: tcp, to: a }\n  h: { listen: ":2", to: a }\n  g: { listen: ":3", to: a }\npools: { a: { endpoints: ["10.0.0.1:1"] } }\n',
  );
  assert.deepEqual(
    faults.map(({ line, also }) => [line, also!.message, also!.line]),
    [[4, 'the other is at', 3]],
  );
});

test('a protocol that is none says so, and nothing that follows from it', () => {
  const { faults } = parse(listener('protocol: sctp, to: a, udp: {}', `${POOLS}routes: [{ to: a }]\n`));
  assert.deepEqual(
    faults.map(({ code }) => code),
    ['bad-value'],
  );
});

test('tests of connections are routed as connections are, and say what they got instead', () => {
  const tests = (...written: string[]) => {
    const { faults, runTests } = parse(
      `version: 1
listeners: { in: { listen: ":1", protocol: tcp, to: { a: 1, b: 0 } }, dns: { listen: ":2", protocol: udp }, web: { listen: ":3", to: w } }
pools: { a: { endpoints: ["10.0.0.1:1"] }, b: { endpoints: ["10.0.0.2:1"] }, w: { endpoints: ["10.0.0.3:1"] } }
routes:
  - { name: named, sni: "*.example", to: b }
  - { name: mail, alpn: imap, client: 10.0.0.0/8, to: b }
tests:
${written.map((one) => `  - ${one}\n`).join('')}`,
    );
    assert.deepEqual(faults, []);
    return runTests().map(({ code, message, line }) => `${code} ${message} ${line}`);
  };
  assert.deepEqual(
    tests(
      '{ connect: in, sni: A.Example, expect: { route: named, pool: b } }',
      '{ connect: in, alpn: [h2, imap], client: 10.1.1.1, expect: { route: mail } }',
      '{ connect: in, alpn: imap, expect: { route: listener/in, pool: a } }',
      '{ connect: in, expect: { pool: a } }',
      '{ connect: dns, expect: { route: none } }',
      '{ request: "GET http://a/", expect: { pool: w } }',
    ),
    [],
  );
  assert.deepEqual(
    tests('{ connect: in, sni: example, expect: { route: named, pool: b } }', '{ connect: dns, expect: { pool: a } }'),
    [
      'test-failed connect in: expected route named, got listener/in 8',
      'test-failed connect in: expected pool b, got a 8',
      'test-failed connect dns: expected pool a, got no route 9',
    ],
  );
});

const lints: [text: string, expected: RegExp | null][] = [
  [
    tcp('', 'routes: [{ sni: "*.example", to: b }, { sni: a.example, to: b, priority: -1 }]\n'),
    /^route-shadowed .*at listener in/,
  ],
  [tcp('', 'routes: [{ sni: "*.example", to: b }, { sni: a.example, to: b }]\n'), null],
  [tcp('', 'routes: [{ listener: in, to: b }, { alpn: h2, to: b, priority: -1 }]\n'), /^route-shadowed/],
  [tcp('', 'routes: [{ client: 10.0.0.0/8, to: b }, { client: 10.1.0.0/16, to: b }]\n'), /^route-shadowed/],
  [tcp('', 'routes: [{ client: 10.1.0.0/16, to: b }, { client: 10.0.0.0/8, to: b }]\n'), /^route-tie .*at listener in/],
  [tcp('', 'routes: [{ client: 10.1.0.0/16, to: b }, { client: 10.2.0.0/16, to: b }]\n'), null],
  [tcp('', 'routes: [{ sni: a.example, alpn: h2, to: b }, { sni: a.example, alpn: imap, to: b }]\n'), /^route-tie/],
  [tcp('', 'routes: [{ sni: a.example, to: b }, { sni: b.example, to: b }]\n'), null],
  [tcp('', 'routes: [{ sni: [a.example, a.example], to: b }]\n'), null],
  [tcp('sniffTimeout: 1s'), /^no-effect .*sniffTimeout/],
  [tcp('sniffTimeout: 1s', 'routes: [{ alpn: h2, to: b }]\n'), null],
  [tcp('proxyProtocol: { from: all }'), /^trusts-everyone .*PROXY line/],
  [listener('protocol: tcp', ''), /^no-route .*resets every connection/],
  [listener('protocol: udp', ''), /^no-route .*drops every datagram/],
  [listener('protocol: auto, to: a'), /^no-route .*404/],
  [pool('connections: { keepAlive: 5 }'), /^no-effect .*keepAlive has no effect on connections/],
  [pool('connections: { perEndpoint: 5 }'), /^no-effect .*perEndpoint/],
  [pool('connections: { keepAliveFor: 2m }'), /^no-effect .*keepAliveFor/],
  [asked('proxyProtocol: v2, connections: { perEndpoint: 9 }'), null],
  ...['keepAlive: 5', 'keepAliveFor: 2m', 'warm: 1', 'requests: 9'].map((key): [string, RegExp] => [
    asked(`proxyProtocol: v1, connections: { ${key} }`),
    new RegExp(`^no-effect pool a: ${key.split(':')[0]} has no effect with proxyProtocol.*X-Forwarded-For`),
  ]),
  [asked('connections: { keepAlive: 5 }'), null],
  [pool('queue: { max: 5 }'), null],
  [datagrams('queue: { max: 5 }'), /^no-effect .*queue has no effect on datagrams they never wait/],
  [datagrams('queue: { timeout: 1s }'), /^no-effect .*queue has no effect on datagrams/],
  [datagrams('circuitBreaker: { maxPending: 5, maxRetries: 1 }'), /^no-effect .*maxPending has no effect on datagrams/],
  [datagrams('circuitBreaker: { maxRequests: 5, maxRetries: 1 }'), null],
  [pool('circuitBreaker: { maxPending: 5 }'), null],
  [pool('health: { passive: { consecutive5xx: 5 } }'), /^no-effect .*consecutive5xx/],
  [pool('health: { passive: false }'), /^no-health-check .*getting connections.*health: tcp/],
  [pool('health: { passive: false }').replace('0.1:1"', '0.1:5432"'), /^no-health-check .*health: postgres/],
];
for (const [text, expected] of lints) {
  test(`${text.replace(/\s+/g, ' ').slice(11, 190)} ${expected === null ? 'gives no warning' : `warns ${expected}`}`, () => {
    const { faults, warnings } = parse(text);
    assert.deepEqual(faults, []);
    const said = warnings
      .filter(({ code }) => code !== 'pool-unused')
      .map(({ code, message, help }) => `${code} ${message} ${help}`);
    if (expected === null) assert.deepEqual(said, []);
    else {
      assert.equal(said.length, 1, said.join('\n'));
      assert.match(said[0], expected);
    }
  });
}
