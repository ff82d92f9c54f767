import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { stringify as toToml } from 'smol-toml';
import { parse as fromYaml } from 'yaml';
import { type ConfigResult, findConfig, loadConfig, parseConfig } from './config.ts';

const around = { node: 'lb-a', cores: 2 };
const folder = mkdtempSync(join(tmpdir(), 'weir-config-'));
after(() => rmSync(folder, { recursive: true }));

const YAML = `
version: 1
name: edge
listeners: { web: { listen: [":8080"], limits: { bodySize: 20MiB } } }
pools:
  web: { endpoints: ["10.0.0.1:80", { address: "10.0.0.2:80", weight: 2, backup: true }], balance: first, health: /healthz }
  next: { endpoints: ["10.0.0.3:80"] }
filters: { f: { headers: { request: { set: { x-real-ip: "{client.ip}" } } } } }
routes:
  - { host: a.example, path: /v1/*, to: { web: 95, next: 5 }, use: [f], timeouts: { request: 15s } }
  - { path: /robots.txt, respond: { status: 200, body: "a\\nb" } }
  - { to: web }
`;
const value = fromYaml(YAML);
/** A plan without the places, which differ. */
const bare = (result: ConfigResult) => {
  assert.deepEqual(result.faults, []);
  return JSON.parse(JSON.stringify(result.plan, (key, v) => (key === 'source' ? undefined : v)));
};
const expected = bare(parseConfig(YAML, 'weir.yaml', {}, around));

test('the same config in JSON gives the same plan', () => {
  assert.deepEqual(bare(parseConfig(JSON.stringify(value, null, 2), 'weir.json', {}, around)), expected);
});

test('the same config in TOML gives the same plan', () => {
  assert.deepEqual(bare(parseConfig(toToml(value), 'weir.toml', {}, around)), expected);
});

test('the same config in TypeScript gives the same plan', async () => {
  const file = join(folder, 'weir.config.ts');
  const define = resolve(import.meta.dirname, 'define.ts');
  writeFileSync(
    file,
    `import { defineConfig } from ${JSON.stringify(define)};\nexport default defineConfig(${JSON.stringify(value, null, 2)});\n`,
  );
  assert.deepEqual(bare(await loadConfig([file], { env: {}, ...around })), expected);
});

test('a TypeScript config that changed is read anew', async () => {
  const file = join(folder, 'changing.config.ts');
  for (const name of ['one', 'two']) {
    writeFileSync(
      file,
      `const name: string = '${name}';\nexport default { version: 1, name, listeners: { web: { listen: ':1', to: '127.0.0.1:1' } } };\n`,
    );
    assert.equal((await loadConfig([file], { env: {}, ...around })).plan?.node, name);
  }
});

const wrong = {
  version: 1,
  listeners: { web: { listen: ':1', to: 'web' } },
  pools: { web: { endpoints: ['127.0.0.1:1'], balance: 'leastconn' } },
};

test('an error in JSON has its place', () => {
  const text = JSON.stringify(wrong, null, 2);
  const [fault] = parseConfig(text, 'weir.json', {}, around).faults;
  assert.equal(text.split('\n')[fault.line - 1].slice(fault.col - 1, fault.endCol - 1), '"leastconn"');
});

test('errors in TOML have their places: tables, arrays of tables, dotted keys, inline tables', () => {
  const text = `version = 1
[listeners.web]
listen = ":1" # a comment, with = and ]
to = "web"
[pools.web]
endpoints = [
  "127.0.0.1:1", # one
  { adress = "127.0.0.1:2" },
]
balance.algorithm = "leastconn"
[[routes]]
to = "web"
[[routes]]
host = "a.example"
to = "wbe"
`;
  const { faults } = parseConfig(text, 'weir.toml', {}, around);
  const marked = faults.map((f) => text.split('\n')[f.line - 1].slice(f.col - 1, f.endCol - 1));
  assert.deepEqual(marked, ['adress', '"leastconn"', '"wbe"']);
});

test('an error in TypeScript is at its key or value when these are written out', async () => {
  const file = join(folder, 'wrong.config.ts');
  const text = `export default {
  version: 1,
  listeners: { web: { listen: ':1', to: 'web' } },
  pools: { web: { endpoints: ['127.0.0.1:1'], balance: 'leastconn', servers: [] } },
};
`;
  writeFileSync(file, text);
  const { faults } = await loadConfig([file], { env: {}, ...around });
  const marked = faults.map((f) => text.split('\n')[f.line - 1].slice(f.col - 1, f.endCol - 1));
  assert.deepEqual(marked, ["'leastconn'", 'servers']);
});

test('a TypeScript config that throws, does not parse or exports nothing is an error, not an exception', async () => {
  for (const text of ['throw new Error("no");', 'export default {', 'export const a = 1;']) {
    const file = join(folder, `bad-${text.length}.config.ts`);
    writeFileSync(file, text);
    const { plan, faults } = await loadConfig([file], { env: {}, ...around });
    assert.equal(plan, null);
    assert.deepEqual(
      faults.map((f) => f.code),
      ['syntax'],
    );
  }
});

for (const [file, text, line] of [
  ['a.json', '{\n  "version": 1,\n}', 3],
  ['a.json', '{ "version": 1 } x', 1],
  ['a.toml', 'version = 1\n[listeners\n', 2],
  ['a.yaml', 'version: 1\n\tlisteners: 1\n', 2],
] as const) {
  test(`text that is not ${file.slice(2).toUpperCase()} is an error at its line: ${JSON.stringify(text)}`, () => {
    const { faults } = parseConfig(text, file, {}, around);
    assert.equal(faults[0].code, 'syntax');
    assert.equal(faults[0].line, line);
  });
}

test('a file that is missing, a folder, and one that is not UTF-8 are errors', async () => {
  const binary = join(folder, 'binary.yaml');
  writeFileSync(binary, Buffer.from([0x61, 0xff, 0xfe]));
  for (const path of [join(folder, 'none.yaml'), folder, binary, join(folder, 'none.ts')]) {
    const { plan, faults } = await loadConfig([path], { env: {}, ...around });
    assert.equal(plan, null);
    assert.deepEqual(
      faults.map((f) => [f.code, f.file]),
      [['no-such-file', path]],
    );
  }
});

test('several files are one config', async () => {
  const one = join(folder, 'one.yaml');
  const two = join(folder, 'two.toml');
  writeFileSync(one, 'version: 1\nlisteners: { web: { listen: ":1", to: web } }\n');
  writeFileSync(two, '[pools.web]\nendpoints = ["127.0.0.1:1"]\n');
  const { plan, files } = await loadConfig([one, two], { env: {}, ...around });
  assert.equal(plan?.pools[0].name, 'web');
  assert.deepEqual(files, [one, two]);
});

test('a config is looked for here first, then in /etc/weir', () => {
  assert.equal(
    findConfig('/x', (path) => path === '/x/weir.toml' || path === '/etc/weir/weir.yaml'),
    'weir.toml',
  );
  assert.equal(
    findConfig('/x', (path) => path === '/etc/weir/weir.json'),
    '/etc/weir/weir.json',
  );
  assert.equal(
    findConfig('/x', () => false),
    null,
  );
});
