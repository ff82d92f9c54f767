/**
 * Harm prevented: an endpoint that lies about where its answer ends makes one client read what was meant for another, or take half an answer for a
 * whole one.
 *
 * Every row is an endpoint's bytes and what the client must see. After each row another client asks: it must get its own answer, over a
 * connection on which nothing of the row is left.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fieldOf, fieldsOf } from '../support/message-reader.ts';
import { connect, ok, type Peer, type Script, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';

/**
 * `502`: the endpoint's answer is discarded. `cut`: its head was sent on, then the fault came: the client must see that the answer is not whole.
 * `ok`: it is a right answer with this body. `kept` says whether the endpoint's connection may be used again.
 */
interface Row {
  name: string;
  bytes: string;
  gives: '502' | 'cut' | 'ok' | '502 or ok' | '502 or cut';
  body?: string;
  method?: string;
  ends?: 'fin' | 'reset';
  kept?: boolean;
}

const head = (lines: string, status = '200 OK'): string => `HTTP/1.1 ${status}\r\n${lines}\r\n`;
const each = (values: readonly string[], name: string, bytes: (value: string) => string, gives: Row['gives']): Row[] =>
  values.map((value) => ({ name: `${name} ${JSON.stringify(value.slice(0, 50))}`, bytes: bytes(value), gives }));

const rows: Row[] = [
  ...each(
    ['+5', '-5', '0x5', '5.0', '5 5', '', 'x', '5,6', '5\x0b', '99999999999999999999'],
    'Content-Length',
    (value) => `${head(`Content-Length: ${value}\r\n`)}hello`,
    '502',
  ),
  { name: 'two lengths that differ', bytes: `${head('Content-Length: 5\r\nContent-Length: 6\r\n')}hello!`, gives: '502' },
  {
    name: 'length and coding',
    bytes: `${head('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n')}5\r\nhello\r\n0\r\n\r\n`,
    gives: '502 or ok',
    body: 'hello',
  },
  ...each(
    ['gzip', 'gzip, chunked', 'chunked, chunked', 'xchunked', 'identity'],
    'transfer coding',
    (value) => `${head(`Transfer-Encoding: ${value}\r\n`)}5\r\nhello\r\n0\r\n\r\n`,
    '502',
  ),
  ...each(
    [
      '5\nhello\r\n0\r\n\r\n',
      'g\r\nhello\r\n0\r\n\r\n',
      '5\r\nhelloX\r\n0\r\n\r\n',
      '-5\r\nhello\r\n',
      '5;a\x00\r\nhello\r\n0\r\n\r\n',
      '5\r\nhello\r\n0\r\nX : y\r\n\r\n',
      'fffffffffffffffff\r\nhello',
    ],
    'chunk framing',
    (value) => head('Transfer-Encoding: chunked\r\n') + value,
    '502 or cut',
  ),
  { name: 'FIN inside a body with a length', bytes: `${head('Content-Length: 10\r\n')}hello`, ends: 'fin', gives: '502 or cut' },
  {
    name: 'FIN before the last chunk',
    bytes: `${head('Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n`,
    ends: 'fin',
    gives: '502 or cut',
  },
  {
    name: 'FIN before the final CRLF',
    bytes: `${head('Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n0\r\n`,
    ends: 'fin',
    gives: '502 or cut',
  },
  {
    name: 'a reset inside a body with a length',
    bytes: `${head('Content-Length: 10\r\n')}hello`,
    ends: 'reset',
    gives: '502 or cut',
  },
  { name: 'a reset inside a body until close', bytes: `${head('')}hello`, ends: 'reset', gives: '502 or cut' },
  { name: 'a body until close', bytes: `${head('')}hello`, ends: 'fin', gives: 'ok', body: 'hello' },
  { name: 'FIN inside the head', bytes: 'HTTP/1.1 200 OK\r\nContent-Le', ends: 'fin', gives: '502' },
  { name: 'FIN instead of an answer', bytes: '', ends: 'fin', gives: '502' },
  { name: 'a reset instead of an answer', bytes: '', ends: 'reset', gives: '502' },
  {
    name: 'bytes behind the answer',
    bytes: `${ok('hello')}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen`,
    gives: 'ok',
    body: 'hello',
    kept: false,
  },
  { name: 'garbage behind the answer', bytes: `${ok('hello')}\r\n\r\n`, gives: 'ok', body: 'hello', kept: false },
  {
    name: 'an answer to HEAD with a body',
    bytes: `${head('Content-Length: 6\r\n')}stolen`,
    method: 'HEAD',
    gives: 'ok',
    body: '',
    kept: false,
  },
  { name: 'a 204 with a body', bytes: `${head('', '204 No Content')}stolen`, gives: '502 or ok', body: '', kept: false },
  {
    name: 'a 204 with a length and a body',
    bytes: `${head('Content-Length: 6\r\n', '204 No Content')}stolen`,
    gives: '502 or ok',
    body: '',
    kept: false,
  },
  {
    name: 'a 204 with a coding',
    bytes: `${head('Transfer-Encoding: chunked\r\n', '204 No Content')}0\r\n\r\n`,
    gives: '502 or ok',
    body: '',
    kept: false,
  },
  {
    name: 'a 304 with a body',
    bytes: `${head('Content-Length: 6\r\n', '304 Not Modified')}stolen`,
    gives: 'ok',
    body: '',
    kept: false,
  },
  {
    name: '101 that nobody asked for',
    bytes: head('Connection: upgrade\r\nUpgrade: websocket\r\n', '101 Switching Protocols'),
    gives: '502',
  },
  {
    name: '103 before the answer',
    bytes: head('Link: </a>\r\n', '103 Early Hints') + ok('hello'),
    gives: 'ok',
    body: 'hello',
    kept: true,
  },
  { name: '102 before the answer', bytes: head('', '102 Processing') + ok('hello'), gives: 'ok', body: 'hello', kept: true },
  { name: 'a flood of 1xx', bytes: head('', '102 Processing').repeat(40) + ok('hello'), gives: '502 or cut' },
  ...each(
    [
      'HTTP/1.1 20 OK',
      'HTTP/1.1 2000 OK',
      'HTTP/1.1 099 x',
      'HTTP/1.1 000 x',
      'HTTP/2.0 200 OK',
      'HTTP/2 200',
      'ICY 200 OK',
      'HTTP/1.1200 OK',
      'HTTP/1.1  200 OK',
      'HTTP/1.1\t200 OK',
      'http/1.1 200 OK',
      'HTTP/1.1 2x0 OK',
      'HTTP/1.1',
      ' HTTP/1.1 200 OK',
      'HTTP/1.1 200 O\x00K',
      'garbage',
    ],
    'status line',
    (value) => `${value}\r\nContent-Length: 5\r\n\r\nhello`,
    '502',
  ),
  ...each(
    ['A: b\x00c', 'A: b\rc', 'A b: c', 'no colon', ': b', 'A\x00: b', 'A(: b', 'A: b\x01'],
    'field line',
    (value) => `HTTP/1.1 200 OK\r\n${value}\r\nContent-Length: 5\r\n\r\nhello`,
    '502',
  ),
  { name: 'bare LF throughout', bytes: 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello', gives: '502' },
  {
    name: 'a folded line',
    bytes: `HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\nhello`,
    gives: '502 or ok',
    body: 'hello',
  },
  {
    name: 'a space before the colon',
    bytes: 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello',
    gives: '502 or ok',
    body: 'hello',
  },
  {
    name: 'a head beyond the limit',
    bytes: `HTTP/1.1 200 OK\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(80)}Content-Length: 5\r\n\r\nhello`,
    gives: '502',
  },
  { name: 'a head that does not end', bytes: `HTTP/1.1 200 OK\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(80)}`, gives: '502' },
  {
    name: 'more fields than the limit',
    bytes: `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(300)}Content-Length: 5\r\n\r\nhello`,
    gives: '502',
  },
];

const plain: Script = async (peer) => {
  while (peer.ending === 'open' && !peer.socket.destroyed) {
    const request = await until(
      'a request or the end',
      () => peer.reader.messages.shift() ?? (peer.ending !== 'open' || peer.socket.destroyed ? 'end' : undefined),
      600_000,
      1,
    );
    if (request === 'end') break;
    peer.send(ok(`own ${request.startLine.split(' ')[1]}`));
  }
  if (!peer.socket.destroyed) peer.sendEnd();
};

/** Answers the first request of a connection with the row's bytes, further ones plainly. */
function scriptOf(row: Row): Script {
  return async (peer, index) => {
    await peer.message(600_000);
    if (row.bytes !== '') await peer.sendAll(row.bytes);
    if (row.ends === 'fin') peer.sendEnd();
    else if (row.ends === 'reset') peer.reset();
    else await plain(peer, index);
  };
}

async function closeQuietly(client: Peer): Promise<void> {
  await client.close();
}

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await ScriptedEndpoint.start(plain);
      // One connection at a time, and one try: what a row leaves behind cannot hide on another connection.
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [endpoint.address], {
            pool: { connections: { keepAlive: 1 } },
            top: { defaults: { retry: { attempts: 1 } } },
          }),
      });
    });
    after(async () => {
      await weir?.stop();
      // Scripts that wait for a peer that weir has cut off are not at fault.
      await endpoint?.close().catch(() => {});
    });

    for (const row of rows)
      test(`${row.gives}: ${row.name}`, async () => {
        // A fresh connection to the endpoint for every row: the old ones end here.
        for (const peer of endpoint.peers) peer.socket.destroy();
        endpoint.script = scriptOf(row);
        const count = endpoint.peers.length;
        const client = await connect(weir.port);
        client.reader.expect(row.method ?? 'GET');
        client.send(`${row.method ?? 'GET'} /row HTTP/1.1\r\nHost: a.test\r\n\r\n`);
        await check(client, row);
        // The next request on the same weir gets its own answer.
        endpoint.script = plain;
        const next = await connect(weir.port);
        next.send('GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n');
        const answered = await next.message();
        assert.equal(answered.status, 200);
        assert.equal(answered.body.toString(), 'own /next');
        if (row.kept === false || row.gives === '502')
          assert.ok(endpoint.peers.length > count + 1, 'the connection of the row was not used again');
        if (row.kept === true) assert.equal(endpoint.peers.length, count + 1, 'the connection of the row was used again');
        await closeQuietly(next);
        await closeQuietly(client);
        assert.doesNotMatch(client.received + next.received, /stolen/);
      });

    test('the worker that saw all this is still the first one', async () => {
      assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
    });
  });

async function check(client: Peer, row: Row): Promise<void> {
  if (row.gives === 'cut' || row.gives === '502 or cut') {
    await until(
      'an answer of 502 or the end',
      () => client.ending !== 'open' || client.reader.messages.some(({ status }) => status === 502),
    );
    const whole = client.reader.messages.filter(({ status }) => status >= 200);
    if (client.reader.messages.some(({ status }) => status === 502)) return;
    // Cut: no whole answer, and an end that cannot be taken for one.
    assert.deepEqual(
      whole.map(({ startLine, body }) => [startLine, body.toString('latin1')]),
      [],
    );
    assert.ok(
      client.ending === 'reset' || client.fault !== null,
      `an orderly end (${client.ending}) would look like a whole answer`,
    );
    return;
  }
  let message = await client.message();
  while (message.status < 200) message = await client.message();
  if (row.gives === '502' || (row.gives === '502 or ok' && message.status === 502)) {
    assert.equal(message.status, 502);
    assert.match(fieldsOf(message, 'proxy-status').join(), /error=(?:http_|connection_)/);
    assert.doesNotMatch(message.body.toString('latin1'), /127\.0\.0\.1/, 'no address in the answer');
    return;
  }
  assert.ok(message.status < 400, `answered ${message.startLine}`);
  assert.equal(message.body.toString('latin1'), row.body);
  if (row.method === undefined && message.status === 200 && row.ends === undefined)
    assert.notEqual(fieldOf(message, 'connection'), 'close');
}
