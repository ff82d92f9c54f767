import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Heard, Script } from './check.ts';
import { mysqlScript, postgresScript, redisScript } from './check-databases.ts';

function hear(script: Script, pieces: readonly Uint8Array[]): Heard {
  const hearing = script.begin();
  for (const piece of pieces) {
    const lent = Buffer.from(piece);
    const heard = hearing.hear(lent);
    lent.fill(0);
    if (heard !== null) {
      assert.equal(hearing.isOver, true);
      return heard;
    }
  }
  return hearing.end();
}

const bytes = (text: string) => Buffer.from(text, 'latin1');
const mysqlPacket = (payload: string, sequence = 0) =>
  Buffer.concat([Buffer.from([payload.length & 255, payload.length >> 8, 0, sequence]), bytes(payload)]);
const postgresError = (fields: string) => {
  const frame = Buffer.from('E\0\0\0\0');
  frame.writeUInt32BE(fields.length + 4, 1);
  return Buffer.concat([frame, bytes(fields)]);
};

const answers: readonly [what: string, script: Script, answer: Uint8Array, outcome: string][] = [
  ['PONG', redisScript, bytes('+PONG\r\n'), 'ok | PONG'],
  ['another string', redisScript, bytes('+OK\r\n'), 'protocol_error | not the protocol that was asked for: +OK'],
  ['a password wanted', redisScript, bytes('-NOAUTH Authentication required.\r\n'), 'ok | NOAUTH Authentication required.'],
  ['no permission', redisScript, bytes('-NOPERM this user has no permissions\r\n'), 'ok | NOPERM this user has no permissions'],
  ['a Redis that loads', redisScript, bytes('-LOADING Redis is loading\r\n'), 'loading | LOADING Redis is loading'],
  ['a Redis without its master', redisScript, bytes('-MASTERDOWN Link is down\r\n'), 'server_error | MASTERDOWN Link is down'],
  ['a full Redis', redisScript, bytes('-ERR max number of clients\r\n'), 'server_error | ERR max number of clients'],
  ['HTTP', redisScript, bytes('HTTP/1.1 400 Bad\r\n'), 'protocol_error | not the protocol that was asked for: HTTP/1.1 400 Bad'],
  ['a line without an end', redisScript, bytes('+PON'), 'protocol_error | not the protocol that was asked for: +PON'],
  ['PostgreSQL with TLS', postgresScript, bytes('S'), 'ok | answers, with TLS'],
  ['PostgreSQL without', postgresScript, bytes('N'), 'ok | answers, without TLS'],
  [
    'a PostgreSQL error',
    postgresScript,
    postgresError('SFATAL\0C53300\0Mtoo many clients\0\0'),
    'server_error | too many clients',
  ],
  ['an old PostgreSQL error', postgresScript, bytes('Eout of memory\n\0'), 'server_error | out of memory'],
  ['an error without a message', postgresScript, postgresError('SFATAL\0\0'), 'server_error | an error without a message'],
  ['SSH', postgresScript, bytes('H'), 'protocol_error | not the protocol that was asked for: H'],
  ['a greeting', mysqlScript, mysqlPacket('\x0a8.4.3\0rest of it'), 'ok | version 8.4.3'],
  ['a greeting of MariaDB', mysqlScript, mysqlPacket('\x0a5.5.5-10.11.6-MariaDB\0....'), 'ok | version 5.5.5-10.11.6-MariaDB'],
  [
    'a blocked host',
    mysqlScript,
    mysqlPacket("\xff\x69\x04Host '10.0.0.1' is blocked"),
    "server_error | 1129 Host '10.0.0.1' is blocked",
  ],
  [
    'an error with its state',
    mysqlScript,
    mysqlPacket('\xff\x10\x04#08004Too many connections'),
    'server_error | 1040 Too many connections',
  ],
  ['protocol 9', mysqlScript, mysqlPacket('\x093.20\0'), 'protocol_error | not the protocol that was asked for: 3.20'],
  [
    'a packet that is not the first',
    mysqlScript,
    mysqlPacket('\x0a8.4.3\0', 1),
    'protocol_error | not the protocol that was asked for: 8.4.3',
  ],
  [
    'half a greeting',
    mysqlScript,
    mysqlPacket('\x0a8.4.3\0').subarray(0, 8),
    'protocol_error | not the protocol that was asked for: 8.4',
  ],
  [
    'a version without an end',
    mysqlScript,
    mysqlPacket(`\x0a${'8'.repeat(1500)}`),
    `protocol_error | not the protocol that was asked for: ${'8'.repeat(116)}`,
  ],
];

for (const [what, script, answer, outcome] of answers) {
  test(`${what}: the same answer, whole and byte by byte`, () => {
    const text = ({ reason, evidence }: Heard) => `${reason} | ${evidence.replace(/ +/g, ' ')}`;
    const whole = hear(script, [answer]);
    if (outcome.endsWith('8')) assert.ok(text(whole).startsWith(outcome.slice(0, 60)));
    else assert.equal(text(whole), outcome);
    assert.equal(whole.passed, whole.reason === 'ok');
    const slow = hear(
      script,
      [...answer].map((byte) => Buffer.from([byte])),
    );
    assert.equal(slow.reason, whole.reason);
    if (whole.reason !== 'protocol_error') assert.equal(slow.evidence, whole.evidence);
  });
}

test('who closes without a word is cut off, whatever was asked', () => {
  for (const script of [redisScript, postgresScript, mysqlScript]) assert.equal(hear(script, []).reason, 'connection_terminated');
});

test('the openings are those of the protocols', () => {
  assert.equal(Buffer.from(redisScript.opening!).toString(), '*1\r\n$4\r\nPING\r\n');
  assert.equal(Buffer.from(postgresScript.opening!).readUInt32BE(4), 80877103);
  assert.equal(mysqlScript.opening!.length, 0);
});
