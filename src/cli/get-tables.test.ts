import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CertificateRow } from '../control/admin/certificates.ts';
import type { ListenerRow } from '../control/admin/listings.ts';
import { certificateTable, listenerTable } from './get-tables.ts';

const DAY_MS = 86_400_000;
/** More than the test takes, less than the tables show. */
const MARGIN_MS = 1_800_000;
const columnsOf = (text: string): string[][] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

function certificate(name: string, days: number, names: string[]): CertificateRow {
  return {
    name,
    origin: 'file',
    source: 'weir.yaml:7',
    file: `/etc/weir/${name}.crt`,
    names,
    notBefore: '2026-01-01T00:00:00.000Z',
    notAfter: new Date(Date.now() + days * DAY_MS + MARGIN_MS).toISOString(),
    daysLeft: days,
    status: { state: days > 0 ? 'valid' : 'expired', reason: '' },
    listeners: ['secure', 'other'],
  };
}

test('certificates stand in a table with whose they are and how long they last', () => {
  const rows = [certificate('shop', 30, ['a.example', 'b.example', 'c.example', 'd.example']), certificate('old', -2, [])];
  assert.deepEqual(columnsOf(certificateTable(rows, false)), [
    ['CERTIFICATE', 'FOR', 'STATE', 'EXPIRES', 'LISTENERS'],
    ['shop', 'a.example b.example c.example and 1 more', 'valid', 'in 30d 0h', 'secure other'],
    ['old', '-', 'expired', '1d 23h ago', 'secure other'],
  ]);
  const [headings, first] = columnsOf(certificateTable(rows, true));
  assert.deepEqual(headings!.slice(5), ['NOT BEFORE', 'NOT AFTER', 'FILE', 'SOURCE']);
  assert.deepEqual(
    [first![1], ...first!.slice(7)],
    ['a.example b.example c.example d.example', '/etc/weir/shop.crt', 'weir.yaml:7'],
  );
});

test('a listener that opens TLS says so, and with -o wide how', () => {
  const listener = (protocol: ListenerRow['protocol'], tls: ListenerRow['tls']): ListenerRow => ({
    name: 'in',
    origin: 'file',
    protocol,
    addresses: ['[::]:443'],
    tls,
    redirectToHttps: false,
    connections: 1,
    connectionsTotal: 2,
    rejected: 3,
    receivedBytes: 4,
    sentBytes: 5,
  });
  const tls = { certificates: ['shop', 'old'], minVersion: '1.2' as const, alpn: ['http/1.1'], strictSni: false };
  const rows = [listener('http', tls), listener('tcp', { ...tls, alpn: [] }), listener('http', null)];
  assert.deepEqual(
    columnsOf(listenerTable(rows, true)).map(([, protocol, , , , ...rest]) => [protocol, ...rest]),
    [
      ['PROTOCOL', 'TLS', 'ALPN', 'CERTIFICATES'],
      ['https', '1.2+', 'http/1.1', 'shop old'],
      ['tcp in TLS', '1.2+', '-', 'shop old'],
      ['http', '-', '-', '-'],
    ],
  );
  assert.deepEqual(columnsOf(listenerTable(rows, false))[0], ['LISTENER', 'PROTOCOL', 'ADDRESSES', 'CONNECTIONS', 'REJECTED']);
});
