/** ns per record of the flight recorder, the best of twelve rounds. Run: node src/relay/recorder.bench.ts */
import { method } from '../base/head.ts';
import { RequestFacts } from '../filter/filter.ts';
import { LogRecord } from './log-record.ts';
import { type Finished, Recorder } from './recorder.ts';
import { Trail, tryKind } from './trail.ts';

const ROUNDS = 12;
const PER_ROUND = 200_000;

const facts = new RequestFacts();
facts.client = '203.0.113.9';
facts.clientPort = 51234;
const record = new LogRecord();
record.bytes = Buffer.from('shop.example/some/path/to/items');
record.hostEnd = record.pathStart = 12;
record.pathEnd = record.bytes.length;
const trail = new Trail();
const e = {
  facts,
  record,
  trail,
  number: 0,
  key: 0,
  sticky: -1,
  queuedMs: 0,
  wasQueued: false,
  fallbacks: 0,
  runtime: { plan: { epoch: 3 } },
  listener: { plan: { id: 1 } },
  head: { method: method.GET },
  route: { plan: { id: 2 } },
  pool: { plan: { id: 1 } },
  protocol: 0,
  status: 200,
  upstreamStatus: 200,
  faultId: 0,
  detail: '',
  isReused: true,
  isTunnel: false,
  startedMs: 1000.25,
  beganMs: 1000.5,
  sentMs: 1000.75,
  headMs: 1003.25,
  endedMs: 1003.5,
  waitedMs: 0.5,
  lostMs: 0,
  bytesIn: 0,
  bytesOut: 20480,
};

const recorder = new Recorder('aXk3Qz9b0-', 0);
const rounds: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < PER_ROUND; i++) {
    e.number = round * PER_ROUND + i;
    trail.reset();
    trail.begin(i & 15, 1000.5, 3, 9, tryKind.ordinary);
    trail.end(i & 15, 0, 200, 1003.5);
    recorder.add(e as unknown as Finished);
  }
  rounds.push(Number(process.hrtime.bigint() - start) / PER_ROUND);
}
console.log(`trail and record: ${Math.min(...rounds).toFixed(0)} ns`);
