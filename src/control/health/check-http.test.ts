import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Heard, Script } from './check.ts';
import { BODY_BYTES_MAX } from './check-body.ts';
import { HEAD_BYTES_MAX, type HttpQuestion, httpScript } from './check-http.ts';

function scriptOf(question: Partial<HttpQuestion> = {}): Script {
  const script = httpScript({
    method: 'GET',
    path: '/healthz',
    host: 'app:80',
    headers: [],
    status: [[200, 299]],
    body: null,
    ...question,
  });
  assert.ok(typeof script !== 'string', String(script));
  return script;
}

interface Outcome {
  heard: Heard;
  isOver: boolean;
}

/** Pieces, and then a close. */
function hear(script: Script, pieces: readonly (string | Buffer)[]): Outcome {
  const hearing = script.begin();
  let heard: Heard | null = null;
  let isOver = false;
  for (const piece of pieces) {
    // What is lent may be overwritten after the call.
    const lent = Buffer.from(piece as string, 'latin1');
    const now = hearing.hear(lent);
    lent.fill(0);
    heard ??= now;
    if ((isOver = hearing.isOver)) break;
  }
  return { heard: heard ?? hearing.end(), isOver };
}

const short = ({ heard, isOver }: Outcome): string => `${heard.reason} ${isOver ? 'over' : 'open'} | ${heard.evidence}`;

const ok = 'HTTP/1.1 200 OK\r\n';
const answers: readonly [what: string, question: Partial<HttpQuestion>, answer: string, outcome: string][] = [
  ['a whole answer', {}, `${ok}Content-Length: 2\r\n\r\nok`, 'ok over | 200 OK'],
  ['a body still to come', {}, `${ok}Content-Length: 20\r\n\r\nok`, 'ok open | 200 OK'],
  ['no length', {}, `${ok}\r\nok`, 'ok open | 200 OK'],
  ['no reason', {}, 'HTTP/1.0 204\r\n\r\n', 'ok over | 204'],
  ['an empty reason', {}, 'HTTP/1.1 204 \r\n\r\n', 'ok over | 204'],
  ['chunks', {}, `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`, 'ok over | 200 OK'],
  ['chunks that go on', {}, `${ok}Transfer-Encoding: gzip, Chunked\r\n\r\n2\r\nok\r\n`, 'ok open | 200 OK'],
  ['a HEAD', { method: 'HEAD' }, `${ok}Content-Length: 20\r\n\r\n`, 'ok over | 200 OK'],
  [
    'a status out of range',
    {},
    'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n',
    'status over | 503 Service Unavailable',
  ],
  ['the last of a range', { status: [[503, 503]] }, 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n', 'ok over | 503 No'],
  ['the first above', {}, 'HTTP/1.1 300 Many\r\nContent-Length: 0\r\n\r\n', 'status over | 300 Many'],
  [
    'a second range',
    {
      status: [
        [200, 200],
        [401, 401],
      ],
    },
    'HTTP/1.1 401 U\r\nContent-Length: 0\r\n\r\n',
    'ok over | 401 U',
  ],
  [
    'interim answers',
    {},
    `HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    'ok over | 200 OK',
  ],
  ['nothing but interim answers', {}, 'HTTP/1.1 100 C\r\n\r\n'.repeat(9), 'http_protocol_error over | 8 interim answers'],
  ['a switch of protocols', {}, 'HTTP/1.1 101 Switch\r\n\r\n', 'status over | 101 Switch'],
  ['a line feed alone', {}, 'HTTP/1.1 200 OK\nA: b\r\n\r\n', 'http_protocol_error over | not HTTP/1: HTTP/1.1 200 OK A: b'],
  ['a folded field', {}, `${ok}A: b\r\n c\r\n\r\n`, 'http_protocol_error over | not HTTP/1: HTTP/1.1 200 OK A: b  c'],
  ['a space before the colon', {}, `${ok}A : b\r\n\r\n`, 'http_protocol_error over | not HTTP/1: HTTP/1.1 200 OK A : b'],
  ['four digits', {}, 'HTTP/1.1 2000 OK\r\n\r\n', 'http_protocol_error over | not HTTP/1: HTTP/1.1 2000 OK'],
  ['HTTP/2', {}, 'HTTP/2 200\r\n\r\n', 'http_protocol_error over | not HTTP/1: HTTP/2 200'],
  ['garbage without an end', {}, '-ERR wrong\r\n', 'http_protocol_error over | not HTTP/1: -ERR wrong'],
  ['escape sequences', {}, '\x1b[31mred', 'http_protocol_error over | not HTTP/1: [31mred'],
  [
    'two lengths',
    {},
    `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`,
    'http_protocol_error over | a body without a clear length',
  ],
  ['the same length twice', {}, `${ok}Content-Length: 1\r\nContent-length:1\r\n\r\nx`, 'ok over | 200 OK'],
  ['nothing', {}, '', 'connection_terminated open | closed before it answered'],
  ['half a head', {}, 'HTTP/1.1 200 OK\r\nA', 'http_response_incomplete open | closed in the middle of its head'],
  ['the text', { body: 'is well' }, `${ok}Content-Length: 11\r\n\r\nall is well`, 'ok over | 200 OK'],
  ['the text and more', { body: 'all' }, `${ok}Content-Length: 12\r\n\r\nall is`, 'ok open | 200 OK'],
  [
    'another text',
    { body: 'is ill' },
    `${ok}Content-Length: 11\r\n\r\nall is well`,
    'body over | 200 OK, without the expected text',
  ],
  [
    'the text behind the length',
    { body: 'well' },
    `${ok}Content-Length: 2\r\n\r\nokwell`,
    'body over | 200 OK, without the expected text',
  ],
  ['no body', { body: 'well' }, `${ok}Content-Length: 0\r\n\r\n`, 'body over | 200 OK, without the expected text'],
  ['the text until the close', { body: 'well' }, `${ok}\r\nall is well`, 'ok open | 200 OK'],
  ['another until the close', { body: 'ill' }, `${ok}\r\nall is well`, 'body open | 200 OK, without the expected text'],
  [
    'the text across chunks',
    { body: 'well' },
    `${ok}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\n we\r\n2\r\nll\r\n0\r\nT: x\r\n\r\n`,
    'ok over | 200 OK',
  ],
  [
    'the text made of framing',
    { body: 'e\r\n2' },
    `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\n we\r\n2\r\nll\r\n0\r\n\r\n`,
    'body over | 200 OK, without the expected text',
  ],
  [
    'chunks without a size',
    { body: 'well' },
    `${ok}Transfer-Encoding: chunked\r\n\r\nwell\r\n`,
    'http_protocol_error over | 200 OK, with a body that is not framed as HTTP',
  ],
  [
    'a chunk that is too long',
    { body: 'well' },
    `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nwell\r\n`,
    'http_protocol_error over | 200 OK, with a body that is not framed as HTTP',
  ],
  ['the text under a wrong status', { body: 'well' }, 'HTTP/1.1 500 E\r\nContent-Length: 4\r\n\r\nwell', 'status over | 500 E'],
];

for (const [what, question, answer, outcome] of answers) {
  test(`${what}: the same answer, whole and byte by byte`, () => {
    const script = scriptOf(question);
    assert.equal(short(hear(script, [answer])), outcome);
    const bytes = [...Buffer.from(answer, 'latin1')].map((byte) => Buffer.from([byte]));
    const { heard } = hear(script, bytes);
    assert.equal(heard.reason, outcome.split(' ')[0]);
    // Garbage is known by its first bytes, so that is all there is to show.
    if (heard.reason !== 'http_protocol_error') assert.equal(heard.evidence, outcome.split(' | ')[1]);
    for (let cut = 1; cut < answer.length; cut++) {
      assert.equal(hear(script, [answer.slice(0, cut), answer.slice(cut)]).heard.reason, outcome.split(' ')[0], `cut at ${cut}`);
    }
  });
}

test('a head of the limit passes, one byte more does not', () => {
  const rest = `${ok}Content-Length: 0\r\nA: `;
  const fits = `${rest}${'x'.repeat(HEAD_BYTES_MAX - 4 - rest.length)}\r\n\r\n`;
  assert.equal(hear(scriptOf(), [fits]).heard.reason, 'ok');
  assert.equal(hear(scriptOf(), [fits.replace('A: ', 'A: y')]).heard.reason, 'http_response_header_section_size');
  assert.equal(hear(scriptOf(), [rest, 'x'.repeat(HEAD_BYTES_MAX)]).heard.reason, 'http_response_header_section_size');
});

test('a text is found up to the limit of a body, and looked for no further', () => {
  const script = scriptOf({ body: 'well' });
  const head = `${ok}Content-Length: 1000000\r\n\r\n`;
  const text = (before: number) => [head, `${'x'.repeat(before)}well`, 'x'.repeat(1000)];
  assert.equal(hear(script, text(BODY_BYTES_MAX - 4)).heard.reason, 'ok');
  const beyond = hear(script, text(BODY_BYTES_MAX - 3));
  assert.equal(short(beyond), 'body over | 200 OK, without the expected text in its first 64 KiB');
});

test('a text is found wherever the body is cut', () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
    fc.boolean(),
    fc.stringMatching(/^[ab]{1,6}$/),
    fc.stringMatching(/^[ab]{0,40}$/),
    (cuts, isChunked, wanted, body) => {
      const pieces: string[] = [];
      for (let at = 0, turn = 0; at < body.length; turn++) {
        const piece = body.slice(at, at + cuts[turn % cuts.length]!);
        at += piece.length;
        pieces.push(isChunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece);
      }
      const head = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
      const { heard } = hear(scriptOf({ body: wanted }), [
        `${ok}${head}\r\n\r\n`,
        ...pieces,
        ...(isChunked ? ['0\r\n\r\n'] : []),
      ]);
      assert.equal(heard.passed, body.includes(wanted));
    },
  );
  fc.assert(property, { seed: 5, numRuns: 500 });
});

test('any bytes at all come to an end within the limits, and to a result', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isBehindHead) => {
    const head = isBehindHead ? `${ok}Transfer-Encoding: chunked\r\n\r\n` : '';
    const { heard } = hear(scriptOf({ body: 'never there' }), [head, Buffer.from(bytes)]);
    assert.equal(heard.passed, false);
    assert.match(heard.evidence, /^[\x20-\x7e]*$/);
  });
  fc.assert(property, { seed: 6, numRuns: 500 });
});

test('the request says what was configured, and its own fields only where nothing was', () => {
  const text = (question: Partial<HttpQuestion>) => Buffer.from(scriptOf(question).opening!).toString('latin1');
  assert.equal(text({}), 'GET /healthz HTTP/1.1\r\nHost: app:80\r\nUser-Agent: weir-check\r\nConnection: close\r\n\r\n');
  const headers = [
    { name: 'user-agent', value: 'me' },
    { name: 'host', value: 'other' },
    { name: 'x-a', value: 'b' },
    { name: 'x-a', value: 'c' },
  ];
  assert.equal(
    text({ method: 'POST', headers }),
    'POST /healthz HTTP/1.1\r\nuser-agent: me\r\nhost: other\r\nx-a: b\r\nx-a: c\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  );
});

test('what would split the request is not sent', () => {
  const question = { method: 'GET', path: '/', host: 'a', headers: [], status: [], body: null };
  assert.equal(typeof httpScript({ ...question, method: 'GET /' }), 'string');
  assert.equal(typeof httpScript({ ...question, path: '/ HTTP/1.1\r\nX:' }), 'string');
  assert.equal(typeof httpScript({ ...question, host: 'a\r\nX: y' }), 'string');
  assert.equal(typeof httpScript({ ...question, headers: [{ name: 'a:', value: '' }] }), 'string');
});
