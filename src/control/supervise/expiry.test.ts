import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CertificatePlan, Plan } from '../../state/plan.ts';
import { Expiry } from './expiry.ts';

const DAY_MS = 86_400_000;

function certificate(name: string, fromDays: number, untilDays: number): CertificatePlan {
  const days = { notBeforeMs: fromDays * DAY_MS, notAfterMs: untilDays * DAY_MS };
  return { name, source: 'weir.yaml:1', file: `/${name}.crt`, names: [], chain: '', key: 'secret', ...days };
}

class World {
  day = 0;
  readonly said: string[] = [];
  readonly expiry = new Expiry({
    now: () => this.day * DAY_MS,
    events: {
      warn: (event, text, fields) => void this.said.push(`${event}: ${text} ${JSON.stringify(fields)}`),
      error: (event, text, fields) => void this.said.push(`${event}: ${text} ${JSON.stringify(fields)}`),
    },
  });

  /** What is said at the beginning of a day. */
  on(day: number, certificates?: CertificatePlan[]): string[] {
    this.day = day;
    this.said.length = 0;
    if (certificates === undefined) this.expiry.look();
    else this.expiry.apply({ certificates } as Plan);
    return this.said.map((text) => text.replace(/ \{.*/, ''));
  }
}

test('that a certificate is about to expire is said once, and that it has once more', (t) => {
  const world = new World();
  t.after(() => world.expiry.stop());
  const shop = certificate('shop', 0, 90);
  assert.deepEqual(world.on(70, [shop, certificate('other', 0, 365)]), []);
  assert.deepEqual(world.on(77), ['certificate_expires: certificate shop expires in 13 days']);
  assert.match(world.said[0]!, /\{"certificate":"shop","notAfter":"1970-04-01T00:00:00\.000Z","file":"\/shop\.crt"\}/);
  assert.deepEqual(world.on(78), []);
  assert.deepEqual(world.on(78, [shop]), [], 'nor by a reload that changes nothing');
  assert.deepEqual(world.on(90), ['certificate_expired: certificate shop expired 0 hours ago']);
  assert.deepEqual(world.on(91), []);
});

test('a new certificate of the same name is another one', (t) => {
  const world = new World();
  t.after(() => world.expiry.stop());
  assert.equal(world.on(80, [certificate('shop', 0, 90)]).length, 1);
  assert.deepEqual(world.on(81, [certificate('shop', 80, 170)]), []);
  assert.deepEqual(world.on(160), ['certificate_expires: certificate shop expires in 10 days']);
});

test('one that is not valid yet is said to be early', (t) => {
  const world = new World();
  t.after(() => world.expiry.stop());
  assert.deepEqual(world.on(1, [certificate('shop', 2, 90)]), [
    'certificate_early: certificate shop is not valid before 1970-01-03T00:00:00.000Z',
  ]);
  assert.deepEqual(world.on(3), []);
});
