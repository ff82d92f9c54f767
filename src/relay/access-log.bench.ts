/** ns per line of the access log, by format, the best of twelve rounds. Run: node src/relay/access-log.bench.ts */
import { method } from '../base/head.ts';
import { LINE_BYTES_MAX, LineWriter, LogRecord } from './access-log.ts';

const ROUNDS = 12;
const MS_PER_ROUND = 60;

const r = new LogRecord();
r.bytes = new Uint8Array(Buffer.from('shop.example/some/path/to/itemspage=3&sort=pricecurl/8.5.0'));
Object.assign(r, {
  hostStart: 0,
  hostEnd: 12,
  pathStart: 12,
  pathEnd: 31,
  queryStart: 31,
  queryEnd: 48,
  userAgentStart: 48,
  userAgentEnd: 58,
});
Object.assign(r, {
  id: '01JDABCDEFGHJKMNPQRSTVWXYZ',
  listener: 'secure',
  route: 'login',
  pool: 'web',
  endpoint: '10.0.1.11:8080',
});
Object.assign(r, {
  client: '203.0.113.9:51234',
  peer: '203.0.113.9:51234',
  epoch: 14,
  method: method.GET,
  status: 200,
  upstreamStatus: 200,
});
Object.assign(r, {
  bytesIn: 0,
  bytesOut: 20480,
  headMs: 0.05,
  queueMs: 0,
  firstMs: 3.123,
  totalMs: 3.456,
  overheadMs: 0.021,
  isReused: true,
  inFlight: 12,
});

for (const format of ['json', 'combined', 'httplog'] as const) {
  for (const redact of [[], ['token', 'sid']]) {
    const writer = new LineWriter(format, redact, 'lb-a', 3);
    const bytes = new Uint8Array(LINE_BYTES_MAX);
    const rounds: number[] = [];
    let length = 0;
    for (let round = 0; round < ROUNDS; round++) {
      let calls = 0;
      const start = process.hrtime.bigint();
      while (process.hrtime.bigint() - start < BigInt(MS_PER_ROUND * 1e6)) {
        for (let i = 0; i < 1000; i++) {
          r.timeMs = 1795493533482 + calls / 100;
          length = writer.write(r, bytes, 0, bytes.length);
          calls++;
        }
      }
      rounds.push(Number(process.hrtime.bigint() - start) / calls);
    }
    const ns = rounds.sort((a, b) => a - b)[0]!;
    console.log(`${format.padEnd(9)} redacting ${redact.length} names: ${ns.toFixed(0).padStart(5)} ns for ${length} bytes`);
  }
}
