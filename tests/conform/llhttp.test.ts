/**
 * Every case of llhttp's own test suite, decided knowingly: weir's verdict, number of messages and bytes of body are llhttp's in strict mode, or the
 * case stands in llhttp-deviations.ts under the reason why not. A new disagreement fails, and so does a deviation that is none any more.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { method } from '../../src/base/head.ts';
import { deviations } from './llhttp-deviations.ts';
import { bytesOf, type Transcript, transcribe } from './transcript.ts';

interface Case {
  id: string;
  name: string;
  type: 'request' | 'response';
  mode: string;
  meta: { skipBody?: boolean };
  b64: string;
  expect: 'ok' | 'error' | 'pause/upgrade';
  messages: number;
  log: string[];
}

const path = join(import.meta.dirname, '../../../shared/data/llhttp-cases.json');
const hasData = existsSync(path);
const cases: Case[] = hasData ? JSON.parse(readFileSync(path, 'utf8')).cases : [];

/** Requests without Host get one, so that what the case is about can be seen. */
function withHost(text: string): string {
  return text.replace(/ (\S+) HTTP\/1\.1\r\n/g, (line, target: string) => {
    const authority = /^https?:\/\/([^/?]*)/.exec(target)?.[1];
    return `${line}Host: ${authority ?? 'h'}\r\n`;
  });
}

function run(one: Case, text: string): Transcript {
  return transcribe(bytesOf(text), {
    side: one.type,
    limits: { underscores: 'allow' },
    stopAtClose: true,
    finish: one.mode.endsWith('-finish'),
    methods: one.meta.skipBody === true && one.type === 'response' ? [method.HEAD, method.HEAD] : [],
  });
}

/** What differs from llhttp, or ''. */
function differenceOf(one: Case, transcript: Transcript): string {
  const ours = transcript.messages;
  const said = `weir: ${transcript.fault || 'ok'} ${transcript.detail}`;
  if (one.expect === 'error') {
    // Bytes after `Connection: close` are llhttp's error; weir never reads them.
    return transcript.fault !== '' ? '' : `llhttp: error, ${said}`;
  }
  const finish = /finish=(\d)/.exec(one.log.at(-1) ?? '')?.[1];
  if (finish !== undefined) return (finish === '2') === (transcript.fault !== '') ? '' : `llhttp: finish ${finish}, ${said}`;
  // Whether the bytes after an upgrade are a tunnel is decided by the response to it: as requests they are faults, rightly.
  if (one.expect === 'ok' && transcript.fault !== '') return `llhttp: ok, ${said}`;
  // llhttp counts interim responses as messages.
  const count = ours.reduce((sum, message) => sum + message.interim.length + (message.isComplete ? 1 : 0), 0);
  const isTunnel = ours[0]?.head.includes('framing tunnel') === true;
  if (isTunnel && one.expect === 'pause/upgrade') return '';
  if (count !== one.messages) return `llhttp: ${one.messages} messages, weir: ${count}; ${said}`;
  if (one.expect === 'pause/upgrade' && !/upgrade \[.+\]|^6 CONNECT/.test(ours[0]?.head ?? '')) return `llhttp: upgrade, ${said}`;
  const theirBody = one.log.reduce((sum, line) => sum + Number(/ len=(\d+) span\[body\]/.exec(line)?.[1] ?? 0), 0);
  const ourBody = ours.reduce((sum, message) => sum + message.body.length, 0);
  return theirBody === ourBody ? '' : `llhttp: ${theirBody} bytes of body, weir: ${ourBody}`;
}

const reasonsOf = new Map<string, string[]>();
for (const [reason, group] of Object.entries(deviations)) {
  for (const id of group.cases) reasonsOf.set(id, [...(reasonsOf.get(id) ?? []), reason]);
}

test('the cases of llhttp are there', { skip: hasData ? false : 'the shared data folder is absent' }, () => {
  assert.equal(cases.length, 251);
  const ids = new Set(cases.map((one) => one.id));
  for (const id of reasonsOf.keys()) assert.ok(ids.has(id), `${id} deviates, but is no case`);
});

for (const one of cases) {
  test(`${one.id} ${one.name} (${one.mode})`, () => {
    const listed = reasonsOf.get(one.id) ?? [];
    let text = Buffer.from(one.b64, 'base64').toString('latin1');
    let transcript = run(one, text);
    const found: string[] = [];
    if (transcript.detail === 'Host missing') {
      if (one.expect !== 'error') found.push('noHost');
      text = withHost(text);
      transcript = run(one, text);
      assert.notEqual(transcript.detail, 'Host missing');
    }
    const difference = differenceOf(one, transcript);
    const others = listed.filter((reason) => reason !== 'noHost');
    if (difference !== '') {
      assert.equal(others.length, 1, `${difference} in ${JSON.stringify(text)}`);
      found.push(others[0]!);
    }
    assert.deepEqual(listed.toSorted(), found.toSorted());
  });
}
