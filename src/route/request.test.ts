/** Harm prevented: `weir explain` and the `tests:` of a configuration see a field, and decide by it, that is never there in traffic. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, transcribe } from '../../tests/conform/transcript.ts';
import { isRefused, underscores } from '../base/underscores.ts';
import { headFromText, liveFields } from './route.ts';

type Fields = readonly (readonly [string, string])[];

/** The fields that the codec leaves live, read from the request as it would stand on the wire. */
function decoded(fields: Fields, rule: keyof typeof underscores = 'allow'): [string, string][] | 'refused' {
  const text = `POST /a?b HTTP/1.1\r\nHost: h\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  let live: [string, string][] | null = null;
  const { fault, detail } = transcribe(bytesOf(text), {
    onHead: (head) => (live = liveFields(head)),
    limits: { underscores: rule },
  });
  if (rule === 'reject' && fault !== '') return 'refused';
  assert.equal(fault, '', detail);
  assert.ok(live !== null, 'there is a head');
  return live;
}

const cases: Record<string, { fields: Fields; left: readonly string[] }> = {
  'what framing is made of goes': {
    fields: [
      ['Content-Length', '3'],
      ['X-A', '1'],
    ],
    left: ['X-A'],
  },
  'chunks go': {
    fields: [
      ['Transfer-Encoding', 'chunked'],
      ['Trailer', 'X-T'],
    ],
    left: ['Trailer'],
  },
  'what the connection is asked goes': {
    fields: [
      ['Connection', 'keep-alive'],
      ['Keep-Alive', 'timeout=5'],
      ['Proxy-Connection', 'keep-alive'],
      ['TE', 'trailers'],
    ],
    left: [],
  },
  'an upgrade goes': {
    fields: [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['HTTP2-Settings', 'AA'],
    ],
    left: [],
  },
  'credentials for a proxy go, those for the endpoint stay': {
    fields: [
      ['Proxy-Authorization', 'Basic x'],
      ['Proxy-Authenticate', 'Basic'],
      ['Authorization', 'Basic y'],
    ],
    left: ['Authorization'],
  },
  'what Connection names goes, in any case and over several lines': {
    fields: [
      ['Connection', 'close, X-Secret'],
      ['x-secret', '1'],
      ['Cookie', 'a=b'],
      ['connection', ' ,cookie,'],
      ['X-Open', '2'],
    ],
    left: ['X-Open'],
  },
  'an expectation without a body goes': { fields: [['Expect', '100-continue']], left: [] },
  'one before an empty body too': {
    fields: [
      ['Expect', '100-continue'],
      ['Content-Length', '0'],
    ],
    left: [],
  },
  'one before a body stays': {
    fields: [
      ['Expect', '100-continue'],
      ['Content-Length', '3'],
    ],
    left: ['Expect'],
  },
  'one before chunks stays': {
    fields: [
      ['Expect', '100-continue'],
      ['Transfer-Encoding', 'chunked'],
    ],
    left: ['Expect'],
  },
  'forwarded fields stay': {
    fields: [
      ['X-Forwarded-For', '1.2.3.4'],
      ['Via', '1.1 x'],
    ],
    left: ['X-Forwarded-For', 'Via'],
  },
};

for (const [name, { fields, left }] of Object.entries(cases))
  test(`a head from text has the fields that the codec leaves: ${name}`, () => {
    const live = liveFields(headFromText('POST', 'http://h/a?b', fields));
    assert.deepEqual(
      live.map(([its]) => its),
      left,
    );
    assert.deepEqual(live, decoded(fields));
  });

for (const rule of ['drop', 'allow', 'reject'] as const)
  test(`a head from text has the fields with an underscore in the name that the codec leaves: ${rule}`, () => {
    const number = underscores[rule];
    const odd = [
      ['X_User', 'eve'],
      ['x-user', 'adam'],
      ['Content_Length', '3'],
      ['_', 'a'],
      ['Accept', 'b'],
    ] as const;
    const live = isRefused(number) ? 'refused' : liveFields(headFromText('POST', 'http://h/a?b', odd, number));
    assert.deepEqual(live, decoded(odd, rule));
    assert.equal(live.length, rule === 'drop' ? 2 : rule === 'allow' ? 5 : 'refused'.length);
    const plain = odd.filter(([name]) => !name.includes('_'));
    assert.deepEqual(liveFields(headFromText('POST', 'http://h/a?b', plain, number)), decoded(plain, rule));
  });
