import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { instanceSecret, SECRET_BYTES } from './secret.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-secret-'));
after(() => rmSync(root, { recursive: true }));

test('the secret is made once, stays the same, and only its owner can read it', () => {
  const folder = join(root, 'made');
  const secret = instanceSecret(folder);
  assert.equal(secret.length, SECRET_BYTES);
  assert.deepEqual(instanceSecret(folder), secret);
  assert.equal(statSync(join(folder, 'secret')).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.notDeepEqual(instanceSecret(join(root, 'other')), secret);
});

test('processes that begin at the same moment have one secret, and leave nothing else', async () => {
  const folder = join(root, 'race');
  const program = `import { instanceSecret } from ${JSON.stringify(join(import.meta.dirname, 'secret.ts'))};
    process.stdin.once('data', () => { console.log(Buffer.from(instanceSecret(${JSON.stringify(folder)})).toString('hex')); process.exit(); });
    console.log('ready');`;
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const outputs = children.map((child) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    return new Promise<string>((resolve) => child.stdout.once('end', () => resolve(text)));
  });
  await Promise.all(children.map((child) => new Promise((resolve) => child.stdout.once('data', resolve))));
  for (const child of children) child.stdin.write('go\n');
  const secrets = (await Promise.all(outputs)).map((text) => text.replace('ready', '').trim());
  assert.match(secrets[0], /^[0-9a-f]{64}$/);
  assert.equal(new Set(secrets).size, 1);
  assert.deepEqual(readdirSync(folder), ['secret']);
});

test('a damaged secret and a folder that others can write to are refused, with what to do', () => {
  const damaged = join(root, 'damaged');
  instanceSecret(damaged);
  writeFileSync(join(damaged, 'secret'), 'short');
  assert.throws(() => instanceSecret(damaged), /must have 32 bytes: remove it/);
  const open = join(root, 'open');
  instanceSecret(open);
  chmodSync(open, 0o777);
  assert.throws(() => instanceSecret(open), /writable by nobody else/);
});
