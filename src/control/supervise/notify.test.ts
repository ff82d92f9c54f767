import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Notifier } from './notify.ts';

test('the watchdog is fed every half of its limit while all is well, and not after the end', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const notifier = new Notifier({ NOTIFY_SOCKET: '@weir-nobody-listens', WATCHDOG_USEC: '10000000' });
  const told: string[] = [];
  notifier.tell = (...lines) => void told.push(...lines);
  let isWell = true;
  notifier.feedWatchdog(() => isWell);
  t.mock.timers.tick(4999);
  assert.deepEqual(told, []);
  t.mock.timers.tick(1);
  isWell = false;
  t.mock.timers.tick(5000);
  assert.deepEqual(told, ['WATCHDOG=1']);
  isWell = true;
  notifier.close();
  t.mock.timers.tick(60_000);
  assert.deepEqual(told, ['WATCHDOG=1']);
});

test('without a watchdog nobody asks how it is', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const notifier = new Notifier({ NOTIFY_SOCKET: '@weir-nobody-listens' });
  notifier.feedWatchdog(() => assert.fail('asked'));
  t.mock.timers.tick(60_000);
  notifier.close();
});
