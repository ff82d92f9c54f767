/** The command line from outside: the launcher, wrong usage, exit codes. Harm prevented: a script or systemd that is told the wrong thing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const weir = join(import.meta.dirname, '../../bin/weir');
const folder = mkdtempSync(join(tmpdir(), 'weir-cli-'));
after(() => rmSync(folder, { recursive: true }));

function call(args: string[], environment: Record<string, string> = {}, program = weir) {
  const env = { ...process.env, WEIR_RUNTIME_DIR: join(folder, 'run'), ...environment };
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, env, encoding: 'utf8', timeout: 20_000 });
  return { status, stdout, stderr };
}

/** A program called node that answers --version like this one. */
function fakeNode(name: string, version: string): string {
  const bin = join(folder, name);
  const script = `#!/bin/sh\n[ "$1" = --version ] && echo ${version} && exit\nexec ${process.execPath} "$@"\n`;
  spawnSync('mkdir', ['-p', bin]);
  writeFileSync(join(bin, 'node'), script);
  chmodSync(join(bin, 'node'), 0o755);
  return bin;
}

test('wrong usage is exit 2, with the nearest command or flag', () => {
  const command = call(['rnu']);
  assert.equal(command.status, 2);
  assert.match(command.stderr, /unknown command 'rnu'[\s\S]*run/);
  const flag = call(['run', '--wrokers', '2']);
  assert.equal(flag.status, 2);
  assert.match(flag.stderr, /Did you mean --workers/);
  assert.equal(call(['run', '--engine', 'kqueue']).status, 2);
  assert.equal(call(['run', '--workers', 'many']).status, 2);
  assert.equal(call(['proxy', '--from', ':0']).status, 2, 'no --to');
  assert.equal(call([]).status, 2);
});

test('help and version are exit 0 and go to stdout', () => {
  assert.match(call(['--help']).stdout, /Commands:/);
  assert.equal(call(['run', '--help']).status, 0);
  const version = call(['version', '--json']);
  assert.equal(version.status, 0);
  assert.deepEqual(Object.keys(JSON.parse(version.stdout)), ['weir', 'node', 'openssl', 'v8', 'kernel']);
  assert.equal(version.stderr, '', 'no warning of Node');
});

test('a configuration with errors is exit 3 with all of them, and nothing listens', () => {
  writeFileSync(
    join(folder, 'bad.yaml'),
    'version: 1\nlisteners: { web: { listen: "127.0.0.1:0", to: nowhere, protocl: http } }\n',
  );
  const { status, stderr } = call(['run', '-c', 'bad.yaml']);
  assert.equal(status, 3);
  assert.match(stderr, /bad\.yaml:2:\d+ error/);
});

test('a port that is taken is exit 4 and says which, and by whom', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  writeFileSync(
    join(folder, 'taken.json'),
    JSON.stringify({ version: 1, listeners: { web: { listen: `127.0.0.1:${port}`, to: '127.0.0.1:1' } } }),
  );
  const { status, stderr } = call(['run', '-c', 'taken.json']);
  server.close();
  assert.equal(status, 4);
  assert.match(
    stderr,
    new RegExp(
      `cannot listen on 127\\.0\\.0\\.1:${port} \\(listener web\\): port ${port} is taken by .*\\(pid ${process.pid}\\)`,
    ),
  );
});

test('the launcher takes a system node that is new enough and passes over one that is old', () => {
  const old = fakeNode('old', 'v20.19.2');
  const fresh = fakeNode('fresh', 'v26.9.0');
  const path = '/usr/bin:/bin';
  assert.equal(call(['version'], { PATH: `${old}:${path}`, WEIR_NODE: '' }).status, 0, 'the pinned one is used');
  assert.equal(call(['version'], { PATH: `${fresh}:${path}`, WEIR_NODE: '' }).status, 0);
  // Away from node_modules, with only the old one: exit 4 and what to do.
  const bin = join(folder, 'away', 'bin');
  spawnSync('mkdir', ['-p', bin]);
  writeFileSync(join(bin, 'weir'), readFileSync(weir));
  chmodSync(join(bin, 'weir'), 0o755);
  const none = call(['version'], { PATH: `${old}:${path}`, WEIR_NODE: '' }, join(bin, 'weir'));
  assert.equal(none.status, 4);
  assert.match(none.stderr, /needs Node\.js >= 26\.9[\s\S]*v20\.19\.2[\s\S]*npm ci/);
});

test('the launcher finds its folder through a symbolic link, as npm makes them', () => {
  symlinkSync(weir, join(folder, 'link'));
  assert.match(call(['version'], {}, join(folder, 'link')).stdout, /^weir \d/);
});

test('proxy --save writes a file that check accepts, and never overwrites', () => {
  const args = ['proxy', '--from', '127.0.0.1:0', '--to', '127.0.0.1:1', '--balance', 'nonsense'];
  assert.equal(call(args).status, 2);
  writeFileSync(join(folder, 'there.yaml'), 'x');
  const { status, stderr } = call(['proxy', '--from', '127.0.0.1:0', '--to', '127.0.0.1:1', '--save', 'there.yaml']);
  assert.equal(status, 4);
  assert.match(stderr, /exists already/);
  assert.equal(readFileSync(join(folder, 'there.yaml'), 'utf8'), 'x');
});
