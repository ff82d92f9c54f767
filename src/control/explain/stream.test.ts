import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admin } from '../../state/doors.ts';
import type { ControlDoor } from '../../state/table.ts';
import { parseConfig } from '../config/config.ts';
import {
  type ExplainRequest,
  explain,
  explainRequest,
  explanationText,
  offlineParts,
  type StreamExplanation,
} from './explain.ts';

const CONFIG = `version: 1
listeners:
  db: { listen: ":5432", protocol: tcp, to: pg, proxyProtocol: { from: [10.0.0.0/8] }, timeouts: { idle: 2h } }
  tls: { listen: ":443", protocol: auto, to: "10.0.9.1:22" }
  dns: { listen: "127.0.0.1:53", protocol: udp, to: names, udp: { responses: 1 } }
  zone: { listen: "127.0.0.1:53", protocol: tcp }
  web: { listen: ":80", to: web }
pools:
  pg: { endpoints: ["10.0.1.1:5432", "10.0.1.2:5432"], balance: source, proxyProtocol: v2, source: { addresses: 10.0.0.5 }, fallback: old }
  old: { endpoints: ["10.0.1.9:5432"] }
  names: { endpoints: ["10.0.2.1:53"] }
  web: { endpoints: ["10.0.3.1:80"] }
  a: { endpoints: ["10.0.4.1:443"] }
  b: { endpoints: ["10.0.4.2:443"] }
routes:
  - { name: shop, sni: [shop.example, "*.shop.example"], listener: tls, to: { a: 1, b: 3 } }
  - { name: mail, alpn: [imap, pop3], client: 10.0.0.0/8, listener: tls, to: "10.0.5.1:993" }
  - { name: site, path: /*, to: web }
`;

const { plan: loaded, faults } = parseConfig(CONFIG, 'weir.yaml', {});
assert.deepEqual(faults, []);

function made(url: string, more: Partial<ExplainRequest> = {}): ExplainRequest {
  const request = explainRequest({ url, ...more });
  assert.ok(typeof request !== 'string', String(request));
  return request;
}

/** `change`: done to the table before it is asked. */
function explained(
  url: string,
  more: Partial<ExplainRequest> = {},
  change: (door: ControlDoor, slotOf: (address: string) => number) => void = () => {},
): StreamExplanation {
  const { plan, table } = offlineParts(loaded!);
  const slotOf = (address: string) => plan.pools.flatMap(({ endpoints }) => endpoints).find((e) => e.address === address)!.slot;
  change(table as ControlDoor, slotOf);
  const explanation = explain(plan, table, made(url, more), { draw: () => 0, why: () => null });
  assert.ok(typeof explanation !== 'string', String(explanation));
  assert.ok('connection' in explanation);
  return explanation;
}
const sentence = (url: string, more: Partial<ExplainRequest> = {}) => {
  const { plan, table } = offlineParts(loaded!);
  return String(explain(plan, table, made(url, more), { draw: () => 0, why: () => null }));
};
const taken = ({ routes }: StreamExplanation) => routes.find(({ verdict }) => verdict === 'taken')?.name ?? null;

test('of two listeners on one address the one that takes it is asked', () => {
  assert.equal(explained('udp://127.0.0.1:53').listener.name, 'dns');
  assert.equal(explained('tcp://127.0.0.1:53').listener.name, 'zone');
  assert.equal(explained('tcp://db.internal:5432').listener.name, 'db');
  assert.equal(explained('tcp://any', { listener: 'tls' }).listener.why, 'as asked');
});

test('a listener that does not take it says what it takes', () => {
  assert.match(sentence('http://a:5432/'), /listener db takes tcp: it knows no requests/);
  assert.match(sentence('tcp://a:80'), /listener web takes http: it knows no connections/);
  assert.match(sentence('udp://a:5432'), /it knows no datagrams/);
  assert.match(sentence('tcp://a'), /tcp:\/\/a names no port/);
});

test('a connection goes where its name says, and each other route says why not', () => {
  const { routes, pool, limits } = explained('tcp://a:443', { sni: 'WWW.shop.example.', random: 2 ** 31 });
  assert.deepEqual(
    routes.map(({ name, verdict, match, missed }) => [name, verdict, match, missed]),
    [
      ['shop', 'missed', 'sni shop.example', ['sni shop.example']],
      ['shop', 'taken', 'sni *.shop.example', []],
      ['mail', 'missed', 'alpn imap or pop3, client in 10.0.0.0/8', ['alpn imap or pop3', 'client']],
      ['listener/tls', 'also fits', 'all', []],
    ],
  );
  assert.deepEqual([pool!.of, pool!.name, pool!.pick], ['a 1, b 3', 'b', '10.0.4.2:443']);
  assert.deepEqual([limits!.connect, limits!.idle, limits!.tries], [1, 3600, 2]);
});

test('protocol and client count as in the data plane', () => {
  assert.equal(taken(explained('tcp://a:443', { alpn: ['h2', 'pop3'], client: '10.1.1.1' })), 'mail');
  assert.equal(taken(explained('tcp://a:443', { alpn: ['h2', 'pop3'] })), 'listener/tls');
  assert.equal(taken(explained('tcp://a:443')), 'listener/tls');
});

test('a client address places a connection where it would place it again', () => {
  const pick = (client: string) => explained('tcp://a:5432', { client }).pool!.pick;
  const picks = new Set(Array.from({ length: 32 }, (_, i) => pick(`192.0.2.${i}`)));
  assert.equal(picks.size, 2, 'both endpoints have clients');
  assert.equal(pick('192.0.2.7'), pick('192.0.2.7'));
  assert.equal(explained('tcp://a:5432').pool!.hashOn, 'client');
});

test('what is said to the endpoint, and how the client is known, is told', () => {
  const { sends, preface } = explained('tcp://a:5432');
  assert.equal(sends, 'a PROXY line (v2) that names the client, from 10.0.0.5 in turns');
  assert.match(preface!, /named by a PROXY line/);
  assert.equal(explained('tcp://a:443').preface, null);
});

test('a pool of which nobody can take it is passed, and without a way out the connection is refused', () => {
  const down = (...addresses: string[]) =>
    explained('tcp://a:5432', {}, (door, slotOf) => {
      for (const address of addresses) door.setAdmin(slotOf(address), admin.maint);
    });
  const passed = down('10.0.1.1:5432', '10.0.1.2:5432');
  assert.deepEqual([passed.passed.map(({ name }) => name), passed.pool!.name, passed.refused], [['pg'], 'old', null]);
  assert.equal(passed.sends, null, 'it is the fallback that says nothing');
  const nobody = down('10.0.1.1:5432', '10.0.1.2:5432', '10.0.1.9:5432');
  assert.equal(nobody.refused!.reason, 'destination_unavailable');
  assert.deepEqual(explained('tcp://127.0.0.1:53').refused, {
    reason: 'destination_not_found',
    detail: 'no route of the listener matches',
  });
});

test('an explanation of a connection reads as one', () => {
  const text = explanationText(explained('tcp://a:443', { sni: 'shop.example', alpn: ['h2'], random: 0 }));
  assert.match(
    text,
    /^tcp:\/\/a:443 from 192\.0\.2\.1, TLS for shop\.example, offers h2\n listener {2}tls {2}\[::\]:443 {2}auto/,
  );
  assert.match(text, / route {5}shop {2}weir\.yaml:16 {2}sni shop\.example {2}\(also fit: listener\/tls\)\n/);
  assert.match(text, / limits {4}connect 1s, idle 1h, total none, half closed 30s; 2 tries to connect\n/);
  assert.match(explanationText(explained('udp://127.0.0.1:53')), /limits {4}idle 30s, forgotten after one answer/);
  assert.match(explanationText(explained('tcp://127.0.0.1:53')), /refused {3}destination_not_found: no route/);
});

const wrong: [body: Record<string, unknown>, why: RegExp][] = [
  [{ url: 'tcp://a:1/path' }, /in full/],
  [{ url: 'tcp:a' }, /in full/],
  [{ url: 'sctp://a:1' }, /in full/],
  [{ url: 'tcp://a:99999' }, /cannot be read/],
  [{ url: 'tcp://a:1', sni: 'a b' }, /sni is a name/],
  [{ url: 'tcp://a:1', sni: 7 }, /sni is a name/],
  [{ url: 'tcp://a:1', alpn: 'h2' }, /alpn is a list/],
  [{ url: 'tcp://a:1', alpn: [''] }, /alpn is a list/],
  [{ url: 'http://a/', sni: 'a' }, /belong to TLS/],
  [{ url: 'http://a/', alpn: ['h2'] }, /belong to TLS/],
];
for (const [body, why] of wrong)
  test(`${JSON.stringify(body)} is no connection`, () => {
    assert.match(String(explainRequest(body)), why);
  });
