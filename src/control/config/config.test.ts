import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ConfigResult, formatFaults, formatFaultsGithub, formatFaultsJson, parseConfig } from './config.ts';

const around = { node: 'lb-a', cores: 2 };
const parse = (text: string, env = {}): ConfigResult => parseConfig(text, 'weir.yaml', env, around);
const HEAD = 'version: 1\nlisteners: { web: { listen: ":8080", to: web } }\n';
const POOL = 'pools: { web: { endpoints: ["127.0.0.1:1"] } }\n';
const codesOf = (result: ConfigResult) => result.faults.map((f) => f.code);

test('the smallest config gives a plan in which every default is filled in', () => {
  const { plan, faults, warnings, process } = parse(
    'version: 1\nlisteners: { web: { listen: ":8080", to: "127.0.0.1:3000" } }\n',
  );
  assert.deepEqual(faults, []);
  assert.deepEqual(warnings, []);
  assert.deepEqual(plan?.listeners[0].addresses, [{ kind: 'ip', host: '::', port: 8080 }]);
  assert.equal(plan?.pools[0].name, 'listener/web');
  assert.deepEqual(plan?.pools[0].endpoints[0].resolved, { kind: 'ip', host: '127.0.0.1', port: 3000 });
  assert.equal(plan?.pools[0].balance.algorithm, 'power-of-two');
  assert.deepEqual(
    plan?.routes.map((r) => [r.name, r.listeners, r.action]),
    [['listener/web', [0], { kind: 'forward', pools: [{ pool: 0, weight: 1 }] }]],
  );
  assert.equal(plan?.limits.connectionsMax, 30_000);
  assert.deepEqual(process, { workers: 2, engine: 'auto', logLevel: 'info', adminIsDefault: true });
});

test('every error is told at once, with place, carets and suggestion', () => {
  const result = parseConfig(
    `version: 1
listeners:
  web: { listen: 80 }
  edge: { listen: ":443", protocl: https }
pools:
  api:
    servers: ["10.0.0.1:8080"]
    balance: leastconn
    health: { active: { path: /healthz, interval: 2 } }
  web:
    endpoints:
      - { adress: "10.0.0.2:8080" }
routes:
  - { host: a.example, to: ap, use: [limit] }
  - { host: b.example, to: web, redirect: /x }
`,
    'bad.yaml',
    {},
  );
  assert.equal(result.plan, null);
  assert.equal(
    formatFaults(result.faults),
    `bad.yaml:3:18 error listeners.web.listen: expected an address to listen on, for example :443, 127.0.0.1:8080, [::]:80, unix:/run/weir.sock or systemd:web [bad-value]
    3 |   web: { listen: 80 }
      |                  ^^ did you mean ":80"?
bad.yaml:4:27 error unknown key protocl in listeners.edge [unknown-key]
    4 |   edge: { listen: ":443", protocl: https }
      |                           ^^^^^^^ did you mean protocol?
bad.yaml:7:5 error unknown key servers in pools.api [unknown-key]
    7 |     servers: ["10.0.0.1:8080"]
      |     ^^^^^^^ did you mean endpoints?
bad.yaml:8:14 error pools.api.balance cannot be 'leastconn' [bad-value]
    8 |     balance: leastconn
      |              ^^^^^^^^^ did you mean least-requests?
bad.yaml:9:51 error pools.api.health.active.interval: expected a duration with a unit, for example 500ms, 5s or 1m [bad-value]
    9 |     health: { active: { path: /healthz, interval: 2 } }
      |                                                   ^ did you mean 2s?
bad.yaml:12:11 error unknown key adress in pools.web.endpoints.0 [unknown-key]
   12 |       - { adress: "10.0.0.2:8080" }
      |           ^^^^^^ did you mean address?
bad.yaml:14:28 error there is no pool named ap [no-such-pool]
   14 |   - { host: a.example, to: ap, use: [limit] }
      |                            ^^ did you mean api?
bad.yaml:14:38 error there is no filter named limit [no-such-filter]
   14 |   - { host: a.example, to: ap, use: [limit] }
      |                                      ^^^^^ none is defined
bad.yaml:15:5 error routes.1: a route needs exactly one of to, redirect or respond [bad-value]
   15 |   - { host: b.example, to: web, redirect: /x }
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

9 errors
`,
  );
});

// Each row: what is written, what is said, what is proposed.
const rows: [title: string, text: string, code: string, message: RegExp, help: RegExp | null][] = [
  ['a key of a later version', `${HEAD}${POOL}discovery: {}`, 'not-yet', /discovery is not available yet/, null],
  [
    'a key that is no placeholder',
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], balance: { algorithm: maglev, hashOn: user } } }`,
    'bad-value',
    /hashOn: expected one of \{client\.ip\}/,
    null,
  ],
  [
    'a bound below the fair share',
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], balance: { algorithm: maglev, boundedLoad: 0.5 } } }`,
    'bad-value',
    /boundedLoad: expected a number above 1/,
    null,
  ],
  [
    'a protocol of a later version',
    `version: 1\nlisteners: { web: { listen: ":1", to: web, protocol: http3 } }\n${POOL}`,
    'not-yet',
    /'http3' is not available yet/,
    /http, https, tcp, udp, auto/,
  ],
  ['systemd sockets', `version: 1\nlisteners: { web: { listen: "systemd:web", to: web } }\n${POOL}`, 'not-yet', /systemd/, null],
  [
    'no version',
    'listeners: { web: { listen: ":1", to: "127.0.0.1:1" } }',
    'missing-key',
    /the config needs version/,
    /version: 1/,
  ],
  [
    'another version',
    'version: 2\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }',
    'bad-value',
    /version: expected 1/,
    /only one/,
  ],
  [
    'a pool that is not there',
    `version: 1\nlisteners: { web: { listen: ":1", to: wbe } }\n${POOL}`,
    'no-such-pool',
    /no pool named wbe/,
    /web/,
  ],
  ['frontends', `version: 1\nfrontends: {}\n${POOL}`, 'unknown-key', /frontends/, /did you mean listeners/],
  ['backends', `${HEAD}backends: { web: { servers: [] } }\n`, 'unknown-key', /backends/, /did you mean pools/],
  ['bind', `version: 1\nlisteners: { web: { bind: ":1", to: web } }\n${POOL}`, 'unknown-key', /bind/, /did you mean listen\?/],
  [
    'proxy_pass',
    `version: 1\nlisteners: { web: { listen: ":1", proxy_pass: web } }\n${POOL}`,
    'unknown-key',
    /proxy_pass/,
    /did you mean to\?/,
  ],
  [
    'maxconn',
    `${HEAD}pools: { web: { endpoints: [{ address: "127.0.0.1:1", maxconn: 5 }] } }`,
    'unknown-key',
    /maxconn/,
    /maxConnections/,
  ],
  ['p2c', `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], balance: p2c } }`, 'bad-value', /'p2c'/, /power-of-two/],
  [
    'roundrobin',
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], balance: { algorithm: roundrobin } } }`,
    'bad-value',
    /'roundrobin'/,
    /round-robin/,
  ],
  [
    'a size without a unit',
    `version: 1\nlisteners: { web: { listen: ":1", to: web, limits: { bodySize: 1048576 } } }\n${POOL}`,
    'bad-value',
    /size with a unit/,
    /1MiB/,
  ],
  ['a percentage without its sign', `${HEAD}${POOL}defaults: { retry: { budget: 0.2 } }`, 'bad-value', /percentage/, /20%/],
  ['a duration in words', `${HEAD}${POOL}defaults: { timeouts: { connect: 5 seconds } }`, 'bad-value', /duration/, /5s/],
  [
    'a duration of nothing where one is needed',
    `${HEAD}${POOL}defaults: { timeouts: { connect: 0s } }`,
    'bad-value',
    /cannot be 0/,
    null,
  ],
  ['a port alone', `${HEAD}pools: { web: { endpoints: [3000] } }`, 'bad-value', /address of an endpoint/, /127\.0\.0\.1:3000/],
  [
    'a URL as endpoint',
    `${HEAD}pools: { web: { endpoints: ["http://a.internal/x"] } }`,
    'bad-value',
    /address of an endpoint/,
    /a\.internal:80/,
  ],
  ['an endpoint twice', `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1", "127.0.0.1:1"] } }`, 'defined-twice', /twice/, null],
  [
    'an address twice',
    `version: 1\nlisteners: { a: { listen: ":1", to: web }, b: { listen: ":1", to: web } }\n${POOL}`,
    'defined-twice',
    /listened on twice/,
    null,
  ],
  [
    'a key twice',
    `version: 1\nversion: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }`,
    'defined-twice',
    /version is defined twice/,
    null,
  ],
  ['a pool without endpoints', `${HEAD}pools: { web: { endpoints: [] } }`, 'bad-value', /at least one endpoint/, null],
  ['weights of zero', `${HEAD}${POOL}routes: [{ to: { web: 0 } }]`, 'bad-value', /above 0/, null],
  [
    'a header name with a space',
    `${HEAD}${POOL}filters: { f: { headers: { request: { set: { "a b": c } } } } }\nroutes: [{ to: web, use: f }]`,
    'bad-value',
    /not a header name/,
    null,
  ],
  [
    'an edit of a framing field',
    `${HEAD}${POOL}filters: { f: { headers: { request: { remove: [transfer-encoding] } } } }\nroutes: [{ to: web, use: f }]`,
    'bad-value',
    /belongs to the connection/,
    null,
  ],
  [
    'a line end in a header value',
    `${HEAD}${POOL}filters: { f: { headers: { request: { set: { a: "b\\r\\nc: d" } } } } }\nroutes: [{ to: web, use: f }]`,
    'bad-value',
    /control character/,
    null,
  ],
  [
    'an unknown placeholder',
    `${HEAD}${POOL}filters: { f: { headers: { request: { set: { a: "{client.name}" } } } } }\nroutes: [{ to: web, use: f }]`,
    'bad-value',
    /no placeholder/,
    null,
  ],
  ['a slow regular expression', `${HEAD}${POOL}routes: [{ path: "~/(a+)+b", to: web }]`, 'bad-value', /could be slow/, null],
  ['a lower-case method', `${HEAD}${POOL}routes: [{ method: get, to: web }]`, 'bad-value', /upper-case/, /GET/],
  [
    'a host with a port',
    `${HEAD}${POOL}routes: [{ host: "a.example:80", to: web }]`,
    'bad-value',
    /without its port/,
    /a\.example/,
  ],
  [
    'a range with bits after its length',
    `${HEAD}${POOL}routes: [{ client: 10.1.0.0/8, to: web }]`,
    'bad-value',
    /bits are set/,
    /10\.0\.0\.0\/8/,
  ],
  [
    'a number where a text belongs',
    `${HEAD}${POOL}filters: { f: { headers: { request: { set: { a: 1 } } } } }\nroutes: [{ to: web, use: f }]`,
    'bad-value',
    /expected a text/,
    /"1"/,
  ],
  ['an empty value', `${HEAD}pools:\n  web:\n`, 'bad-value', /pools\.web: expected a map/, /nothing is written/],
  [
    'a name with a slash',
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"] }, "a/b": { endpoints: ["127.0.0.1:1"] } }`,
    'bad-name',
    /cannot be a name/,
    null,
  ],
  ['a route without an action', `${HEAD}${POOL}routes: [{ host: a.example }]`, 'bad-value', /exactly one of/, null],
  [
    'a listener that is not there',
    `${HEAD}${POOL}routes: [{ listener: wbe, to: web }]`,
    'no-such-listener',
    /no listener named wbe/,
    /web/,
  ],
  [
    'two routes of one name',
    `${HEAD}${POOL}routes: [{ name: a, host: a.example, to: web }, { name: a, to: web }]`,
    'defined-twice',
    /route named a/,
    null,
  ],
  ['nothing at all', '', 'bad-value', /empty/, null],
  ['a list', '- a', 'bad-value', /expected a map/, null],
  ['text that is not YAML', 'version: 1\nlisteners: [a', 'syntax', /./, null],
  ['an anchor inside itself', `version: 1\nlisteners: &a { web: *a }`, 'syntax', /inside itself/, null],
];

for (const [title, text, code, message, help] of rows) {
  test(`${title} is an error with its reason`, () => {
    const { plan, faults } = parse(text);
    assert.equal(plan, null);
    const fault = faults.find((f) => f.code === code && message.test(f.message));
    assert.ok(fault, `got ${JSON.stringify(faults, null, 1)}`);
    assert.equal(faults.length, 1, `only this one: ${JSON.stringify(faults.map((f) => f.message))}`);
    if (help) assert.match(fault.help ?? '', help);
  });
}

test('a name defined twice shows both places', () => {
  const result = parse(`${HEAD}pools:\n  web: { endpoints: ["127.0.0.1:1"] }\n  web: { endpoints: ["127.0.0.1:2"] }\n`);
  assert.deepEqual(result.faults[0].also, { message: 'first defined at', file: 'weir.yaml', line: 4, col: 3 });
  assert.match(formatFaults(result.faults), /first defined at weir\.yaml:4:3/);
});

test('a text is filled in from the environment after parsing, so that it cannot change the structure', () => {
  const text = `${HEAD}${POOL}name: "\${NODE}"\nadmin: { listen: "127.0.0.1:\${PORT:-9900}" }\nprocess: { workers: "\${WORKERS}" }\n`;
  const { plan, process, faults } = parse(text, { NODE: 'a", listeners: {}', WORKERS: '3' });
  assert.deepEqual(faults, []);
  assert.equal(plan?.node, 'a", listeners: {}');
  assert.deepEqual(plan?.admin.listen, [{ kind: 'ip', host: '127.0.0.1', port: 9900 }]);
  assert.equal(process?.workers, 3);
});

test('a variable that is not set is an error at its place, and $${ is a plain ${', () => {
  assert.deepEqual(codesOf(parse(`${HEAD}${POOL}name: "\${NODE}"`)), ['unset-variable']);
  assert.equal(parse(`${HEAD}${POOL}name: "$\${NODE}"`).plan?.node, '${NODE}');
});

test('a value from the environment is not quoted in an error', () => {
  const { faults } = parse(`${HEAD}pools: { web: { endpoints: ["\${SECRET}"], balance: "\${SECRET}" } }`, { SECRET: 'hunter2' });
  assert.equal(faults.length, 2);
  assert.doesNotMatch(JSON.stringify(faults), /hunter2/);
});

test('a text is filled in from a file, relative to the config, without its last line end', () => {
  const readFile = (path: string) => {
    if (path.endsWith('/conf/node.txt')) return 'edge-7\n';
    throw Object.assign(new Error('gone'), { code: 'ENOENT' });
  };
  const text = `${HEAD}${POOL}name: "\${file:node.txt}"`;
  assert.equal(parseConfig(text, '/conf/weir.yaml', {}, { ...around, readFile }).plan?.node, 'edge-7');
  assert.deepEqual(codesOf(parseConfig(text, '/other/weir.yaml', {}, { ...around, readFile })), ['no-such-file']);
});

const includes = (files: Record<string, string>) => ({
  ...around,
  readFile: (path: string) => {
    if (path in files) return files[path];
    throw Object.assign(new Error('gone'), { code: 'ENOENT' });
  },
  glob: (pattern: string, folder: string) =>
    Object.keys(files)
      .filter((f) => f.startsWith(`${folder}/${pattern.replace(/\*.*$/, '')}`))
      .map((f) => f.slice(folder.length + 1)),
});

test('included files are merged by name, and their routes joined', () => {
  const files = {
    '/c/conf.d/a.yaml': 'pools: { a: { endpoints: ["127.0.0.1:1"] } }\nroutes: [{ host: a.example, to: a }]',
    '/c/conf.d/b.json': '{ "pools": { "b": { "endpoints": ["127.0.0.1:2"] } }, "routes": [{ "host": "b.example", "to": "b" }] }',
  };
  const text = 'version: 1\ninclude: conf.d/*\nlisteners: { web: { listen: ":1" } }\n';
  const { plan, faults, files: read } = parseConfig(text, '/c/weir.yaml', {}, includes(files));
  assert.deepEqual(faults, []);
  assert.deepEqual(
    plan?.pools.map((p) => p.name),
    ['a', 'b'],
  );
  assert.deepEqual(
    plan?.routes.map((r) => r.source),
    ['/c/conf.d/a.yaml:2', '/c/conf.d/b.json:1'],
  );
  assert.equal(read.length, 2);
});

test('a name defined in two files is an error that shows both places', () => {
  const files = { '/c/a.yaml': 'pools: { web: { endpoints: ["127.0.0.1:1"] } }' };
  const text = `${HEAD}${POOL}include: a.yaml\n`;
  const { faults } = parseConfig(text, '/c/weir.yaml', {}, includes(files));
  assert.deepEqual(
    faults.map((f) => [f.code, f.file, f.also?.file]),
    [['defined-twice', '/c/a.yaml', '/c/weir.yaml']],
  );
});

test('a file that includes itself, and one that is not there, are errors', () => {
  const files = { '/c/a.yaml': 'include: b.yaml', '/c/b.yaml': 'include: a.yaml' };
  assert.deepEqual(codesOf(parseConfig(`${HEAD}${POOL}include: a.yaml`, '/c/weir.yaml', {}, includes(files))), ['include-loop']);
  // What the missing file would have defined is not known, so no pool is called missing.
  assert.deepEqual(codesOf(parseConfig(`${HEAD}include: c.yaml`, '/c/weir.yaml', {}, includes(files))), ['no-such-file']);
});

test('anchors and merges work, and keys that begin with x- are left out', () => {
  const { plan, faults } = parse(`version: 1
x-common: &common { balance: first, health: tcp }
listeners: { web: { listen: ":1", to: a, x-note: ours } }
pools:
  a: { <<: *common, endpoints: &all ["127.0.0.1:1", "127.0.0.1:2"] }
  b: { <<: *common, balance: random, endpoints: *all }
routes: [{ path: /b, to: b }]
`);
  assert.deepEqual(faults, []);
  assert.deepEqual(
    plan?.pools.map((p) => [p.balance.algorithm, p.endpoints.length, p.health.active?.type]),
    [
      ['first', 2, 'tcp'],
      ['random', 2, 'tcp'],
    ],
  );
});

test('aliases that would unfold to billions of values are refused', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i <= 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  assert.deepEqual(codesOf(parse(lines.join('\n'))), ['too-large']);
});

test('text nested thousands deep is refused', () => {
  for (const file of ['a.yaml', 'a.json', 'a.toml'])
    assert.equal(parseConfig(`${file === 'a.toml' ? 'a = ' : ''}${'['.repeat(20_000)}`, file, {}, around).plan, null);
});

test('a route with several hosts and paths is one in counters and several in the plan', () => {
  const { plan } = parse(`${HEAD}${POOL}routes: [{ name: r, host: [a.example, "*.b.example"], path: [/x, /y/*], to: web }]`);
  const made = plan?.routes.filter((r) => r.name === 'r') ?? [];
  assert.deepEqual(made.map((r) => [r.match.host?.value, r.match.path.kind]).sort(), [
    ['a.example', 'exact'],
    ['a.example', 'prefix'],
    ['b.example', 'exact'],
    ['b.example', 'prefix'],
  ]);
});

test('a route without a name keeps its made name when others come and go', () => {
  const name = (routes: string) =>
    parse(`${HEAD}${POOL}routes: [${routes}]`).plan?.routes.find((r) => r.match.host?.value === 'a.example')?.name;
  assert.equal(name('{ host: a.example, path: /v1/*, method: POST, to: web }'), 'a.example/v1/* POST');
  assert.equal(
    name('{ host: b.example, to: web }, { host: a.example, path: /v1/*, method: POST, to: web }'),
    'a.example/v1/* POST',
  );
});

test('faults are written for programs and for GitHub', () => {
  const { faults } = parse(`${HEAD}pools: { web: { servers: ["127.0.0.1:1"] } }`);
  const written = JSON.parse(formatFaultsJson(faults));
  assert.deepEqual(
    [written.file, written.line, written.col, written.endCol, written.code, written.pointer, written.help],
    ['weir.yaml', 3, 17, 24, 'unknown-key', '/pools/web/servers', 'did you mean endpoints?'],
  );
  assert.equal(
    formatFaultsGithub(faults),
    '::error file=weir.yaml,line=3,col=17,endLine=3,endColumn=24,title=unknown-key::unknown key servers in pools.web (did you mean endpoints?)\n',
  );
});

test('an excerpt of a long line is cut around the fault, and control characters do not reach the terminal', () => {
  const endpoints = Array.from({ length: 200 }, (_, i) => `"10.0.0.${i}:80"`).join(', ');
  const long = formatFaults(parse(`${HEAD}pools: { web: { endpoints: [${endpoints}, 80] } }`).faults);
  const [, line, carets] = long.split('\n');
  assert.ok(line.length < 180);
  assert.equal(line.slice(carets.indexOf('^'), carets.lastIndexOf('^') + 1), '80');
  assert.doesNotMatch(formatFaults(parse(`${HEAD}pools: { web: { endpoints: ["\x1b[2J"] } }`).faults), /\x1b/);
});
