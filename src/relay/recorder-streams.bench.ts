/** ns per connection, and per client of datagrams, of the flight recorder, its notes of a try included; the best of sixty rounds. Run: node src/relay/recorder-streams.bench.ts */
import { ClientAddress } from '../base/client-address.ts';
import { type ConnectionFacts, type DatagramFacts, StreamRecorder } from './recorder-streams.ts';
import { StreamTrail } from './trail.ts';

const ROUNDS = 60;
const PER_ROUND = 40_000;

const address = new ClientAddress();
address.set('203.0.113.9:51234');
const plans = { runtime: { plan: { epoch: 3 } }, listenerId: 1, route: { plan: { id: 2 } }, pool: { plan: { id: 1 } } };
const common = { ...plans, number: 0, faultId: 0, endedMs: 1009.5, key: 7, fallbacks: 0, bytesIn: 320, bytesOut: 20480 };
const tunnel = {
  ...common,
  trail: new StreamTrail(),
  client: { startedMs: 1000.25, address, peer: address, serverName: 'db.shop.example', alpn: 'postgresql', tls: null },
  beganMs: 1000.5,
  connectedMs: 1001.5,
  firstByteMs: 1003.25,
  endedBy: 1,
  queuedMs: 0,
  wasQueued: false,
};
const session = {
  ...common,
  trail: new StreamTrail(),
  client: address,
  startedMs: 1000.25,
  firstMs: 1003.25,
  lastMs: 1003.25,
  questions: 1,
  answers: 1,
};

function measure(what: string, note: (i: number) => void): void {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < PER_ROUND; i++) note(round * PER_ROUND + i);
    rounds.push(Number(process.hrtime.bigint() - start) / PER_ROUND);
  }
  console.log(`${what}: ${Math.min(...rounds).toFixed(0)} ns`);
}

/** As a connection of its own has it: made anew. */
const connections = new StreamRecorder('tcp', 'aXk3Qz9b0-', 0);
measure('connection', (i) => {
  const trail = new StreamTrail();
  trail.begin(i & 15, 1000.5, 3, 9);
  trail.end(0, 1009.5);
  tunnel.number = i;
  tunnel.trail = trail;
  connections.addConnection(tunnel as unknown as ConnectionFacts);
});

const datagrams = new StreamRecorder('udp', 'aXk3Qz9b0-', 0);
measure('client of datagrams', (i) => {
  const { trail } = session;
  trail.reset();
  trail.begin(i & 15, 1000.5, 3, 9);
  trail.end(0, 1009.5);
  session.number = i;
  datagrams.addDatagrams(session as unknown as DatagramFacts);
});
