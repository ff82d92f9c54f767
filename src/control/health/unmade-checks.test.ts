import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnmadeChecks } from './unmade-checks.ts';

function unmadeOf() {
  const time = { now: 0 };
  const told: string[] = [];
  const tell = (event: string, _text: string, fields?: Record<string, unknown>): void => {
    told.push(event === 'checks_not_made' ? event : `${event} ${fields!['seconds']} s ${fields!['count']}`);
  };
  const unmade = new UnmadeChecks({ events: { info: tell, warn: tell }, clock: () => time.now });
  const add = (target: object) => unmade.add(target, 'web', 'a:1', 'no local port');
  return { unmade, add, time, told: () => told.splice(0) };
}
const [a, b] = [{}, {}];

test('it is told once as it begins and once when the checks of all can be made again', () => {
  const { unmade, add, time, told } = unmadeOf();
  add(a);
  add(b);
  add(a);
  assert.deepEqual(told(), ['checks_not_made']);
  time.now = 1500;
  unmade.remove(a);
  assert.deepEqual(told(), []);
  unmade.remove(b);
  unmade.remove(b);
  assert.deepEqual(told(), ['checks_made_again 1.5 s 3']);
});

test('beginnings that follow within a minute are not told, nor are their ends', () => {
  const { unmade, add, time, told } = unmadeOf();
  add(a);
  unmade.remove(a);
  told();
  for (time.now = 1000; time.now < 60_000; time.now += 1000) {
    add(a);
    unmade.remove(a);
  }
  assert.deepEqual(told(), []);
  add(a);
  unmade.remove(a);
  assert.deepEqual(told(), ['checks_not_made', 'checks_made_again 0 s 1']);
});

test('what lasts is told when the minute is over', () => {
  const { unmade, add, time, told } = unmadeOf();
  add(a);
  unmade.remove(a);
  time.now = 59_000;
  add(b);
  assert.deepEqual(told().slice(2), []);
  time.now = 60_000;
  add(b);
  assert.deepEqual(told(), ['checks_not_made']);
  time.now = 61_000;
  unmade.remove(b);
  assert.deepEqual(told(), ['checks_made_again 2 s 2']);
});
