import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { SystemError } from '../sys/system-error.ts';
import { EngineError, openEngine, reason } from './io.ts';

const counts = { largeCount: 300, smallCount: 64 };

/** Opens the engine in a process in which io_uring is forbidden, as containers do. */
function openForbidden(choice: string): string {
  const source = `
    const { openEngine } = await import(${JSON.stringify(new URL('./io.ts', import.meta.url).href)});
    try {
      const { engine, why } = openEngine(${JSON.stringify(choice)}, ${JSON.stringify(counts)});
      process.stdout.write(engine.name + '|' + why);
    } catch (error) {
      process.stdout.write(error.name + '|' + error.why);
    }
    process.exit(0);`;
  const filter = new URL('../sys/forbid-uring.ts', import.meta.url).href;
  const child = spawnSync(process.execPath, ['--import', filter, '--input-type=module', '-e', source], { encoding: 'utf8' });
  assert.equal(child.stderr, '');
  return child.stdout;
}

test('openEngine: auto falls back to epoll where io_uring is forbidden, and says why in one line', () => {
  const [name, why] = openForbidden('auto').split('|');
  assert.equal(name, 'epoll');
  assert.match(why!, /^io_uring is forbidden here \(io_uring_setup: EPERM; .*\)$/);
});

test('openEngine: uring throws an EngineError where io_uring is forbidden', () => {
  assert.match(openForbidden('uring'), /^EngineError\|io_uring is forbidden here/);
});

test('openEngine: epoll is epoll, and gives no reason', () => {
  const { engine, why } = openEngine('epoll', counts);
  engine.close();
  assert.deepEqual([engine.name, why], ['epoll', null]);
  assert.equal(engine.blocks.smallCount, counts.smallCount);
});

test('openEngine: auto takes io_uring where it can be had', (t) => {
  try {
    openEngine('uring', counts).engine.close();
  } catch (error) {
    assert.ok(error instanceof EngineError);
    t.skip(error.why);
    return;
  }
  const { engine, why } = openEngine('auto', counts);
  engine.close();
  assert.deepEqual([engine.name, why], ['uring', null]);
});

test('reason: names the cause and, where a newer kernel would help, its version', () => {
  assert.match(reason(new SystemError('io_uring_setup', 38)), /ENOSYS; needs Linux 6\.0, this is /);
  assert.match(reason(new SystemError('io_uring_setup', 22)), /EINVAL; needs Linux 6\.0, this is /);
  assert.match(reason(new SystemError('io_uring_setup', 12)), /RLIMIT_MEMLOCK/);
  assert.match(reason(new SystemError('io_uring_setup', 24)), /EMFILE/);
});
