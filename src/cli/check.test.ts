import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { shellIn } from '../../tests/support/shell.ts';
import { parseConfig } from '../control/config/config.ts';
import { type CheckOptions, check } from './check.ts';
import { init } from './init.ts';
import { schema } from './schema.ts';
import { exit, UsageError } from './shell.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
after(() => rmSync(folder, { recursive: true }));

async function checked(text: string, options: CheckOptions = {}) {
  const file = join(folder, 'weir.yaml');
  writeFileSync(file, text);
  const { shell, said } = shellIn(folder);
  return { code: await check({ config: [file], ...options }, shell), ...said };
}

const GOOD = 'version: 1\nlisteners: { web: { listen: ":1", to: web } }\npools: { web: { endpoints: ["127.0.0.1:1"] } }\n';
const WARNED =
  'version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\npools: { web: { endpoints: ["127.0.0.1:1"] } }\n';
const WRONG = 'version: 1\nlisteners: { web: { listen: ":1", to: wbe } }\npools: { web: { endpoints: ["127.0.0.1:1"] } }\n';

test('check says ok and what it checked', async () => {
  const { code, out, err } = await checked(`${GOOD}tests: [{ request: "GET http://a.example/", expect: { pool: web } }]`);
  assert.equal(code, exit.done);
  assert.match(out, /weir\.yaml ok: 1 listener, 1 pool, 1 endpoint, 0 routes, 1 test passed, no warnings\n$/);
  assert.equal(err, '');
});

test('check answers 3 to an error, to a test that is not met, and with --strict to a warning', async () => {
  assert.equal((await checked(WRONG)).code, exit.configInvalid);
  assert.equal(
    (await checked(`${GOOD}tests: [{ request: "GET http://a.example/", expect: { pool: web, path: /b } }]`)).code,
    exit.configInvalid,
  );
  assert.equal((await checked(WARNED)).code, exit.done);
  assert.match((await checked(WARNED)).out, /1 warning\n$/);
  assert.equal((await checked(WARNED, { strict: true })).code, exit.configInvalid);
});

test('check writes faults as text, as one JSON object a line, and for GitHub', async () => {
  assert.match(
    (await checked(WRONG)).err,
    /^.*weir\.yaml:2:39 error there is no pool named wbe \[no-such-pool\]\n[\s\S]*\n1 error\n$/,
  );
  const lines = (await checked(WRONG, { json: true })).out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map((l) => l.code ?? l.ok),
    ['no-such-pool', false],
  );
  assert.match((await checked(WRONG, { format: 'github' })).out, /^::error file=.*,line=2,col=39,/);
});

test('check finds the config of its folder, and says what it looked for when there is none', async () => {
  writeFileSync(join(folder, 'weir.yaml'), GOOD);
  const { shell } = shellIn(folder);
  assert.equal(await check({}, shell), exit.done);
  const empty = mkdtempSync(join(folder, 'empty-'));
  await assert.rejects(
    check({}, shellIn(empty).shell),
    (error) => error instanceof UsageError && /weir\.config\.ts/.test(error.message),
  );
});

test('schema prints a JSON Schema', async () => {
  const { shell, said } = shellIn(folder);
  assert.equal(await schema({ draft: '7' }, shell), exit.done);
  assert.match(JSON.parse(said.out).$schema, /draft-07/);
});

test('init writes a config that check accepts, with its schema, and overwrites nothing', async () => {
  const place = mkdtempSync(join(folder, 'init-'));
  const { shell } = shellIn(place);
  assert.equal(await init({}, shell), exit.done);
  assert.ok(existsSync(join(place, 'weir.schema.json')));
  const text = readFileSync(join(place, 'weir.yaml'), 'utf8');
  const { faults, warnings } = parseConfig(text, 'weir.yaml', {});
  assert.deepEqual([faults, warnings], [[], []]);
  await assert.rejects(init({}, shell), UsageError);
  assert.equal(readFileSync(join(place, 'weir.yaml'), 'utf8'), text);
});

test('init --ts writes a config that check accepts', async () => {
  const place = mkdtempSync(join(folder, 'ts-'));
  const { shell, said } = shellIn(place);
  assert.equal(await init({ ts: true }, shell), exit.done);
  assert.equal(await check({}, shell), exit.done, said.err);
});

test('what init writes in comments is right, too', () => {
  const place = mkdtempSync(join(folder, 'comments-'));
  return init({}, shellIn(place).shell).then(() => {
    const text = readFileSync(join(place, 'weir.yaml'), 'utf8').replace(/^# (?=(routes|tests|logs):| {2})/gm, '');
    const { faults, summary, runTests } = parseConfig(text, 'weir.yaml', {});
    assert.deepEqual(faults, []);
    assert.deepEqual([summary.routes, summary.tests], [2, 1]);
    assert.deepEqual(runTests(), []);
  });
});

test('init --template tcp writes a config that check accepts, in both languages, and its comments are right', async () => {
  const place = mkdtempSync(join(folder, 'tcp-'));
  const { shell, said } = shellIn(place);
  assert.equal(await init({ template: 'tcp', ts: true }, shell), exit.done);
  assert.equal(await check({ config: [join(place, 'weir.config.ts')], strict: true }, shell), exit.done, said.err);
  assert.equal(await init({ template: 'tcp' }, shell), exit.done);
  const written = readFileSync(join(place, 'weir.yaml'), 'utf8');
  const { plan, faults, warnings } = parseConfig(written, 'weir.yaml', {});
  assert.deepEqual([faults, warnings], [[], []]);
  assert.deepEqual([plan!.listeners[0]!.protocol, plan!.pools[0]!.protocol], ['tcp', 'tcp']);
  const all = written.replace(/^( *)# (?=(routes|logs|timeouts|proxyProtocol):| {2})/gm, '$1');
  const { plan: whole, faults: more } = parseConfig(all, 'weir.yaml', {});
  assert.deepEqual(more, []);
  assert.equal(whole!.listeners[0]!.streams.length, 3);
  assert.equal(whole!.pools[0]!.proxyProtocol, 2);
});
