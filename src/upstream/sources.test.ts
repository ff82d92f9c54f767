import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { fault } from '../base/faults.ts';
import { Sources } from './sources.ts';

const { EADDRNOTAVAIL, ECONNREFUSED, EMFILE } = constants.errno;
const of = (...addresses: string[]): Sources => {
  const sources = new Sources({ kind: 'ip', host: '10.0.0.1', port: 80 });
  sources.use({ addresses, isTransparent: false });
  return sources;
};
/** Addresses of the next dials. */
const turns = (sources: Sources, count: number, nowMs: number): (string | undefined)[] =>
  Array.from({ length: count }, () => sources.address(sources.next(nowMs)));

test('addresses take turns, and only those of the family of the endpoint', () => {
  assert.deepEqual(turns(of('a', '::1', 'b', 'c'), 4, 0).sort(), ['a', 'b', 'b', 'c']);
  assert.deepEqual(turns(of(), 2, 0), [undefined, undefined]);
  assert.deepEqual(turns(of('::1'), 1, 0), [undefined]);
});

test('one without a port rests for a second, and the others are used meanwhile', () => {
  const sources = of('a', 'b', 'c');
  const at = sources.next(0);
  const empty = sources.address(at)!;
  assert.ok(sources.isAnotherLeft(at, EADDRNOTAVAIL, 0));
  assert.ok(!turns(sources, 6, 999).includes(empty));
  assert.ok(turns(sources, 3, 1000).includes(empty));
});

test('when none has a port there is no other to try, and a later dial tries again', () => {
  const sources = of('a', 'b');
  assert.ok(sources.isAnotherLeft(0, EADDRNOTAVAIL, 0));
  assert.ok(!sources.isAnotherLeft(1, EADDRNOTAVAIL, 0));
  assert.notEqual(turns(sources, 1, 1)[0], undefined);
});

test('other failures say nothing of the address', () => {
  const sources = of('a', 'b');
  assert.ok(!sources.isAnotherLeft(0, EMFILE, 0));
  assert.ok(!sources.isAnotherLeft(-1, EADDRNOTAVAIL, 0));
  assert.deepEqual(turns(sources, 2, 0).sort(), ['a', 'b']);
});

test('a plan with the same addresses keeps what is known of them', () => {
  const sources = of('a', 'b');
  sources.isAnotherLeft(0, EADDRNOTAVAIL, 0);
  sources.use({ addresses: ['a', 'b'], isTransparent: false });
  assert.deepEqual(turns(sources, 2, 1), ['b', 'b']);
  sources.use(null);
  assert.deepEqual(turns(sources, 1, 1), [undefined]);
});

test('a dial that found no address to connect from cannot reach the endpoint, and one that found no port cannot now', () => {
  const sources = of('a', 'b');
  const asked: (string | undefined)[] = [];
  const engine = (has: boolean, now: number) => ({
    now,
    hasSource: (_to: unknown, source?: string) => {
      asked.push(source);
      return has;
    },
  });
  assert.equal(sources.faultOf(1, EADDRNOTAVAIL, engine(true, 0)), fault.outOfPorts);
  assert.equal(sources.faultOf(1, EADDRNOTAVAIL, engine(false, 999)), fault.outOfPorts);
  assert.equal(sources.faultOf(1, EADDRNOTAVAIL, engine(false, 1000)), fault.unroutable);
  assert.equal(sources.faultOf(-1, EADDRNOTAVAIL, engine(false, 1000)), fault.unroutable);
  // The kernel is asked only when it said that there is none, and not at once again.
  assert.equal(sources.faultOf(0, ECONNREFUSED, engine(false, 3000)), fault.connectionRefused);
  assert.equal(sources.faultOf(0, EMFILE, engine(false, 3000)), fault.outOfPorts);
  assert.deepEqual(asked, ['b', 'b', undefined]);
  // Other addresses are others.
  sources.use({ addresses: ['c'], isTransparent: false });
  assert.equal(sources.faultOf(-1, EADDRNOTAVAIL, engine(true, 1001)), fault.outOfPorts);
});
