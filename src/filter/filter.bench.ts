/**
 * ns per request of what filters do to an ordinary head: forwarded fields from an untrusted and a trusted peer, client resolution, a chain
 * with two edits, rate limits. The cost of putting the head back for the next round is measured and taken off. Run: node src/filter/filter.bench.ts
 */
import { ClientAddress } from '../base/client-address.ts';
import { FIELD_STRIDE, fieldIdOf, Head } from '../base/head.ts';
import { plainPlan } from '../state/plain-pool.ts';
import type { RateLimitPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { ClientRules, FilterChain, ForwardedFields, RequestFacts } from './filter.ts';

const ROUNDS = 5;
const MS_PER_ROUND = 60;

const plan = plainPlan.headers;

function headOf(fields: [string, string][]): Head {
  const head = new Head(new Uint8Array(16384), 20);
  head.room = 16384;
  head.setPath('/some/path/to/items');
  head.setAuthority('shop.example');
  for (const [name, value] of fields) head.append(fieldIdOf(name), name, value);
  return head;
}

function measure(head: Head, call: () => void): number {
  const { used, count } = head;
  const saved = head.fields.slice(0, count * FIELD_STRIDE);
  const rounds: number[] = [];
  for (let r = 0; r < ROUNDS; r++) {
    let calls = 0;
    const start = process.hrtime.bigint();
    while (process.hrtime.bigint() - start < BigInt(MS_PER_ROUND * 1e6)) {
      for (let i = 0; i < 1000; i++) {
        head.used = used;
        head.count = count;
        for (let k = 0; k < saved.length; k += FIELD_STRIDE) head.fields[k] = saved[k]!;
        call();
      }
      calls += 1000;
    }
    rounds.push(Number(process.hrtime.bigint() - start) / calls);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

const common: [string, string][] = [
  ['user-agent', 'curl/8.5.0'],
  ['accept', '*/*'],
  ['accept-encoding', 'gzip, br'],
  ['x-api-key', 'k-12345'],
];
const plain = headOf(common);
const proxied = headOf([...common, ['x-forwarded-for', '198.51.100.7, 10.1.1.1'], ['x-forwarded-proto', 'https']]);
const facts = new RequestFacts();
Object.assign(facts, {
  client: '203.0.113.9',
  peer: '203.0.113.9',
  id: '01JDABCDEFGHJKMNPQRSTVWXYZ',
  scheme: 'http',
  listenerPort: '8080',
});
const peer = new ClientAddress();
peer.set('10.0.0.9:4711');
const out = new ClientAddress();
const rules = new ClientRules({ trust: [{ bytes: [10, 0, 0, 0], bits: 8 }], header: 'x-forwarded-for' });
const basic = new ForwardedFields(plan, 'lb-a');
const full = new ForwardedFields(
  { ...plan, requestId: 'x-request-id', cdnLoop: true, via: { request: true, response: true } },
  'lb-a',
);
const chain = new FilterChain([
  {
    kind: 'headers',
    id: -1,
    name: 'f',
    request: { set: [{ name: 'x-client', value: '{client.ip}' }], add: [], remove: ['x-powered-by'] },
    response: { set: [], add: [], remove: [] },
  },
]);

const base = measure(plain, () => {});
const say = (name: string, ns: number) => console.log(`${name.padEnd(52)} ${(ns - base).toFixed(0).padStart(6)} ns`);
say(
  'X-Forwarded-*, untrusted peer',
  measure(plain, () => void basic.request(plain, facts)),
);
say(
  'the same with request id, Via and CDN-Loop',
  measure(plain, () => void full.request(plain, facts)),
);
facts.peerIsTrusted = true;
say(
  'X-Forwarded-*, trusted peer, list continued',
  measure(proxied, () => void basic.request(proxied, facts)),
);
say(
  'client resolved from X-Forwarded-For',
  measure(proxied, () => void rules.resolve(proxied, peer, out)),
);
say(
  'chain with one set (placeholder) and one remove',
  measure(plain, () => void chain.request(plain, out, facts)),
);

const buffer = new ArrayBuffer(tableBytes());
initTable(buffer, {}, 1);
const door = new WorkerDoor(buffer, new ControlDoor(buffer).claimStripe());
let id = 0;
function limitsOf(more: Partial<RateLimitPlan>): FilterChain {
  const limit = { requests: 100, windowMs: 1000, burst: 200, key: '{client.ip}', isShadow: false, headers: false } as const;
  return new FilterChain([{ kind: 'rateLimit', name: `l${id}`, id: id++, algorithm: 'token-bucket', ...limit, ...more }], door);
}
/** One client after another, 10,000 of them, each about 10 times a second: ordinary traffic, all of it let through. */
function measureLimit(limits: FilterChain): number {
  let calls = 0;
  return measure(plain, () => {
    calls++;
    out.word3 = 0x0a000000 + (calls % 10_000);
    facts.nowMs = 1e6 + calls / 100;
    facts.limit = facts.rateLimit = '';
    if (limits.request(plain, out, facts) !== 0) throw new Error('refused');
  });
}
out.set('10.0.0.1');
say('token bucket by client address', measureLimit(limitsOf({})));
say('sliding window by client address', measureLimit(limitsOf({ algorithm: 'sliding-window' })));
say('token bucket by a header', measureLimit(limitsOf({ key: '{request.header.x-api-key}', requests: 1e6, burst: 1e6 })));
say('token bucket by address, with RateLimit fields made', measureLimit(limitsOf({ headers: true })));
const spent = limitsOf({ requests: 1, windowMs: 3_600_000, burst: 1 });
spent.request(plain, out, facts);
say(
  'token bucket that refuses',
  measure(plain, () => {
    if (spent.request(plain, out, facts) === 0) throw new Error('passed');
  }),
);
