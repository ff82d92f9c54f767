/**
 * ns per match with 1, 10, 100 and 1,000 routes, by hosts, by prefixes of one host, and with a miss. Run: node src/route/route.bench.ts
 */
import { ClientAddress } from '../base/client-address.ts';
import type { Plan, RoutePlan } from '../state/plan.ts';
import { buildRoutes, headFromText } from './route.ts';

const ROUNDS = 5;
const MS_PER_ROUND = 40;

function route(host: string | null, path: string | null, i: number): RoutePlan {
  return {
    name: `r${i}`,
    source: '',
    listeners: null,
    match: {
      host: host === null ? null : { value: host, wildcard: false },
      path: path === null ? { kind: 'any' } : { kind: 'prefix', value: path },
      methods: null,
      headers: [],
      query: [],
      clients: null,
    },
    rewrite: null,
  } as unknown as RoutePlan;
}

/** Median ns of one call. */
function measure(call: () => number): number {
  const rounds: number[] = [];
  let sum = 0;
  for (let r = 0; r < ROUNDS; r++) {
    let calls = 0;
    const start = process.hrtime.bigint();
    const until = start + BigInt(MS_PER_ROUND * 1e6);
    while (process.hrtime.bigint() < until) {
      for (let i = 0; i < 1000; i++) sum += call();
      calls += 1000;
    }
    rounds.push(Number(process.hrtime.bigint() - start) / calls);
  }
  if (Number.isNaN(sum)) throw new Error('unreachable: keeps the calls alive');
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

const client = new ClientAddress();
client.set('203.0.113.9:4711');
const fields: [string, string][] = [
  ['user-agent', 'bench'],
  ['accept', '*/*'],
];
console.log('routes     by host   one host, by prefix   no host matches   path not plain');
for (const count of [1, 10, 100, 1000]) {
  const numbers = Array.from({ length: count }, (_, i) => i);
  const byHost = buildRoutes({ routes: numbers.map((i) => route(`shop${i}.example.com`, null, i)) } as unknown as Plan, 0);
  const byPath = buildRoutes({ routes: numbers.map((i) => route('shop.example.com', `/api/v${i}`, i)) } as unknown as Plan, 0);
  const heads = [0, 1, 2, 3].map((k) =>
    headFromText('GET', `http://shop${(k * 251) % count}.example.com/some/path/to/items?a=b`, fields),
  );
  const paths = [0, 1, 2, 3].map((k) =>
    headFromText('GET', `http://shop.example.com/api/v${(k * 251) % count}/items/12345?a=b`, fields),
  );
  const odd = [0, 1, 2, 3].map((k) =>
    headFromText('GET', `http://shop.example.com/api/v${(k * 251) % count}/items/a%20b?a=b`, fields),
  );
  const none = headFromText('GET', 'http://none.example.com/some/path/to/items', fields);
  let n = 0;
  const ns = [
    measure(() => byHost.match(heads[n++ & 3]!, client)),
    measure(() => byPath.match(paths[n++ & 3]!, client)),
    measure(() => byHost.match(none, client)),
    measure(() => byPath.match(odd[n++ & 3]!, client)),
  ];
  console.log(String(count).padStart(6), ...ns.map((v) => v.toFixed(0).padStart(14) + ' ns'));
}
