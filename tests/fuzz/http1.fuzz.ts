/**
 * Fuzzing the HTTP/1 codec.
 *
 *     node tests/fuzz/http1.fuzz.ts --seconds 60 --seed 7        many cases
 *     node tests/fuzz/http1.fuzz.ts --seed 7 --case 1234         one of them again
 *
 * What must hold for any bytes:
 * 1. The decoder never throws.
 * 2. What it tells does not depend on how the bytes were cut.
 * 3. What it accepts, it writes again as bytes that two readers which share nothing with it, and itself, take for the same messages with
 *    the same bodies: nothing is smuggled past weir. Fields of one hop are gone, and a field added by weir cannot be removed from outside.
 * 4. Where llhttp accepts the same input, it sees the same messages.
 */
import { createRequire } from 'node:module';
import { field, framing, type Head, method, methodNames } from '../../src/base/head.ts';
import { Prng } from '../../src/base/prng.ts';
import { encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from '../../src/protocol/http1/http1.ts';
import { bytesOf, type Transcript, transcribe } from '../conform/transcript.ts';
import { fieldsOf, MessageReader } from '../support/message-reader.ts';
import { generate, once, pick } from './http1.generate.ts';

type Side = 'request' | 'response';

/** A message as weir would pass it on. */
interface Passed {
  startLine: string;
  head: Uint8Array;
  framing: number;
  isInterim: boolean;
  body: string;
  trailers: Uint8Array | null;
  trailerText: string;
  requestMethod: number;
  /** Lower-case names that the sender's Connection fields named. */
  named: Set<string>;
}

export interface FuzzCount {
  cases: number;
  accepted: number;
  messages: number;
  /** Inputs that llhttp accepted as well. */
  compared: number;
}

const ROOM = 8192;
const hopNames = ['keep-alive', 'proxy-connection', 'http2-settings', 'proxy-authorization', 'upgrade', 'te'];

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** What the Connection fields of a head, removed by now, name: an oracle of its own for their removal. */
function namedBy(head: Head): Set<string> {
  const named = new Set<string>();
  for (let i = 0; i < head.count; i++) {
    if (head.name(i).toLowerCase() !== 'connection') continue;
    for (const option of head.value(i).split(',')) named.add(option.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase());
  }
  // These have taken effect before, or are weir's own.
  for (const name of ['host', 'content-length', 'transfer-encoding', 'connection', 'te', 'upgrade']) named.delete(name);
  return named;
}

/** Copies a lent head to where there is room, adds a field as a filter would, and writes it. */
function passOn(lent: Head, side: Side, requestMethod: number): Passed {
  const bytes = new Uint8Array(lent.size + 256);
  bytes.set(lent.bytes.subarray(lent.base, lent.base + lent.size));
  const { bytes: lentBytes, base, room } = lent;
  lent.bytes = bytes;
  lent.base = 0;
  lent.room = bytes.length;
  const isInterim = side === 'response' && lent.status < 200 && lent.status !== 101;
  check(lent.append(field.other, 'X-Weir-Added', 'yes'), 'there is room for one more field');
  const { authorityStart, authorityEnd } = lent;
  // HTTP/1.0 without Host: whoever passes it on has to name one.
  if (side === 'request' && authorityEnd === 0) check(lent.setAuthority('named.by.weir'), 'there is room for a name');
  const out = new Uint8Array(ROOM);
  // A body until close goes on chunked, as relay/ does.
  const as = side === 'response' && lent.framing === framing.untilClose ? framing.chunked : lent.framing;
  const end =
    side === 'request'
      ? encodeRequestHead(lent, out, 0, ROOM, false, true)
      : encodeResponseHead(lent, out, 0, ROOM, as, true, 11);
  check(end > 0, 'the head fits');
  const target =
    lent.form === 3
      ? '*'
      : lent.form === 2
        ? lent.text(lent.authorityStart, lent.authorityEnd)
        : lent.text(lent.pathStart, lent.pathEnd) + (lent.queryStart < 0 ? '' : `?${lent.text(lent.queryStart, lent.queryEnd)}`);
  const startLine =
    side === 'request'
      ? `${lent.text(lent.methodStart, lent.methodEnd)} ${target} HTTP/1.1`
      : `HTTP/1.1 ${lent.status} ${lent.text(lent.reasonStart, lent.reasonEnd)}`;
  const passed = {
    startLine,
    head: out.slice(0, end),
    framing: as,
    isInterim,
    body: '',
    trailers: null,
    trailerText: '',
    requestMethod,
    named: namedBy(lent),
  };
  lent.authorityStart = authorityStart;
  lent.authorityEnd = authorityEnd;
  lent.bytes = lentBytes;
  lent.base = base;
  lent.room = room;
  lent.used = lent.size;
  lent.count--;
  return passed;
}

function encode(random: Prng, messages: readonly Passed[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const message of messages) {
    parts.push(message.head);
    const body = bytesOf(message.body);
    if (message.framing !== framing.chunked) {
      parts.push(body);
      continue;
    }
    const head = new Uint8Array(16);
    let isFirst = true;
    for (let at = 0; at < body.length; ) {
      const size = Math.min(body.length - at, 1 + random.below(80));
      parts.push(head.slice(0, encodeChunkHead(size, isFirst, head, 0)), body.subarray(at, at + size));
      isFirst = false;
      at += size;
    }
    if (message.trailers !== null) parts.push(isFirst ? message.trailers.subarray(2) : message.trailers);
    else parts.push(head.slice(0, encodeLastChunk(null, isFirst, head, 0, head.length)));
  }
  return Buffer.concat(parts);
}

/** What weir wrote, read by a reader that accepts only what RFC 9112 lets a sender send. */
function readBack(side: Side, bytes: Uint8Array, messages: readonly Passed[]): void {
  const reader = new MessageReader(side);
  for (const message of messages)
    if (!message.isInterim && side === 'response') reader.expect(methodNames[message.requestMethod]!);
  reader.feed(Buffer.from(bytes));
  reader.end();
  check(
    reader.messages.length === messages.length,
    `the strict reader sees ${reader.messages.length} messages of ${messages.length}`,
  );
  messages.forEach((message, i) => {
    const seen = reader.messages[i]!;
    check(
      seen.startLine === message.startLine,
      `start line ${JSON.stringify(seen.startLine)} for ${JSON.stringify(message.startLine)}`,
    );
    check(seen.body.toString('latin1') === message.body, `body ${i} differs`);
    check(seen.trailers.map(([name, value]) => `${name}: ${value}\n`).join('') === message.trailerText, `trailers ${i} differ`);
    check(fieldsOf(seen, 'x-weir-added').at(-1) === 'yes', 'the field that weir added is there');
    if (side === 'request') check(fieldsOf(seen, 'host').length === 1, 'there is one Host');
    for (const name of hopNames) {
      const found = fieldsOf(seen, name);
      check(
        found.length === 0 || (name === 'te' && found.join() === 'trailers') || (name === 'upgrade' && seen.status > 0),
        `${name} went on`,
      );
    }
    for (const name of message.named) {
      const ours = name === 'x-weir-added' ? 1 : 0;
      check(fieldsOf(seen, name).length === ours, `${name}, named in Connection, went on`);
    }
    const connection = fieldsOf(seen, 'connection');
    check(
      connection.length === 0 || /^(TE|upgrade|close)$/.test(connection.join('|')),
      `Connection: ${connection.join('|')} went on`,
    );
  });
}

interface LlhttpMessage {
  startLine: string;
  body: string;
  isComplete: boolean;
  isUpgrade: boolean;
}

const { HTTPParser, methods: parserMethods } = createRequire(import.meta.url)('_http_common');
// Strict, but for one thing: it reads on behind a message that ends the connection, as the transcript does.
const KEEP_READING = HTTPParser.kLenientKeepAlive | HTTPParser.kLenientDataAfterClose;

/** The same bytes through node's llhttp in strict mode; null when it refuses them or is asked to switch protocols. */
function readWithLlhttp(side: Side, bytes: Uint8Array, methods: readonly number[]): LlhttpMessage[] | null {
  const parser = new HTTPParser();
  const messages: LlhttpMessage[] = [];
  const left = [...methods];
  let hasUpgrade = false;
  parser.initialize(side === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 65536, KEEP_READING);
  parser[HTTPParser.kOnHeaders] = () => {};
  parser[HTTPParser.kOnHeadersComplete] = (
    major: number,
    minor: number,
    _fields: string[],
    number: number,
    url: string,
    status: number,
    _reason: string,
    isUpgrade: boolean,
  ) => {
    const isFinal = side === 'request' || status >= 200;
    const answered = side === 'response' && isFinal ? (left.shift() ?? method.GET) : 0;
    if (isUpgrade || status === 101 || (answered === method.CONNECT && status < 300)) hasUpgrade = true;
    messages.push({
      startLine: side === 'request' ? `${parserMethods[number]} ${url}` : String(status),
      body: '',
      isComplete: false,
      isUpgrade,
    });
    void major;
    void minor;
    return answered === method.HEAD ? 1 : 0;
  };
  parser[HTTPParser.kOnBody] = (piece: Buffer) => {
    messages.at(-1)!.body += Buffer.from(piece).toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    messages.at(-1)!.isComplete = true;
  };
  const result: number | { code: string; reason: string } = parser.execute(Buffer.from(bytes));
  const isRefused = typeof result !== 'number';
  if (isRefused) check(isKnownRefusal(side, result, bytes), `llhttp refuses what weir takes: ${result.code} ${result.reason}`);
  if (!isRefused && side === 'response') parser.finish();
  return isRefused || hasUpgrade ? null : messages;
}

/** What weir takes on purpose and llhttp does not. */
function isKnownRefusal(side: Side, { code, reason }: { code: string; reason: string }, input: Uint8Array): boolean {
  const text = Buffer.from(input).toString('latin1');
  // llhttp has a closed list of methods.
  if (code === 'HPE_INVALID_METHOD') return side === 'request';
  // RFC 9112 §7.1.1 has white space there.
  if (reason === 'Invalid character in chunk extensions') return /; [^\r]*\r/.test(text);
  // Framing fields among the trailers are dropped.
  if (/^HPE_(INVALID|UNEXPECTED)_(CONTENT_LENGTH|TRANSFER_ENCODING)$/.test(code)) {
    if (/\r\n0+ *(;[^\r]*)?\r\n([^\r]+\r\n)*(content-length|transfer-encoding):/i.test(text)) return true;
  }
  // A response of HTTP/1.9 is read as 1.1, and equal lengths in it collapse.
  return side === 'response' && (code === 'HPE_INVALID_VERSION' || reason === 'Duplicate Content-Length');
}

function compareWithLlhttp(
  side: Side,
  input: Uint8Array,
  methods: readonly number[],
  passed: readonly Passed[],
  exact: boolean,
): boolean {
  const theirs = readWithLlhttp(side, input, methods);
  if (theirs === null) return false;
  const complete = theirs.filter((message) => message.isComplete);
  check(
    exact ? complete.length === passed.length : complete.length >= passed.length,
    `llhttp sees ${complete.length} messages, weir ${passed.length}`,
  );
  passed.forEach((message, i) => {
    check(
      complete[i]!.body === message.body,
      `llhttp reads another body ${i}: ${JSON.stringify(complete[i]!.body)} for ${JSON.stringify(message.body)}`,
    );
    if (side === 'request')
      check(complete[i]!.startLine.split(' ')[0] === message.startLine.split(' ')[0], `llhttp reads another method in ${i}`);
    else check(complete[i]!.startLine === message.startLine.split(' ')[1], `llhttp reads another status in ${i}`);
  });
  return true;
}

function cutAtRandom(random: Prng, length: number): number[] {
  const cuts: number[] = [];
  const step = pick(random, [1, 3, 20, 100]);
  for (let left = length; left > 0; ) {
    const size = 1 + random.below(step);
    cuts.push(size);
    left -= size;
  }
  return cuts;
}

/** Runs one case; throws when something does not hold. */
export function runCase(seed: number, number: number, count: FuzzCount): void {
  const random = new Prng(Math.imul(seed, 0x9e3779b1) ^ number);
  const side: Side = once(random, 3) ? 'response' : 'request';
  const text = generate(random, side);
  const input = bytesOf(text);
  const methods =
    side === 'request'
      ? []
      : Array.from({ length: 4 }, () => pick(random, [method.GET, method.GET, method.GET, method.HEAD, method.CONNECT]));
  const options = {
    side,
    methods,
    finish: side === 'response',
    limits: { underscores: pick(random, ['drop', 'allow', 'reject'] as const), bodyBytesMax: once(random, 4) ? 60 : 0 },
  };
  count.cases++;
  try {
    const heads: Passed[] = [];
    const left = [...methods];
    const whole: Transcript = transcribe(input, {
      ...options,
      onHead(head) {
        const isFinal = side === 'request' || head.status >= 200 || head.status === 101;
        heads.push(passOn(head, side, isFinal && side === 'response' ? (left.shift() ?? method.GET) : method.GET));
      },
      onTrailers(head) {
        const out = new Uint8Array(ROOM);
        heads.at(-1)!.trailers = out.slice(0, encodeLastChunk(head, false, out, 0, ROOM));
      },
    });
    for (let times = 0; times < 2; times++) {
      const cut = transcribe(input, { ...options, cuts: cutAtRandom(random, input.length) });
      check(cut.text === whole.text, `cut otherwise it tells otherwise:\n${cut.text}\n${whole.text}`);
    }
    const passed = completeOf(heads, whole);
    if (passed.length === 0) return;
    count.accepted++;
    count.messages += passed.length;
    const finals = passed.filter((message) => !message.isInterim);
    const answered = finals.map((message) => message.requestMethod);
    const output = encode(random, passed);
    readBack(side, output, passed);
    const again = transcribe(output, { side, methods: answered, finish: true, limits: { underscores: 'allow' } });
    check(again.fault === '', `weir refuses what it wrote: ${again.detail} at ${again.offset}`);
    check(again.messages.length === finals.length, 'weir sees other messages in what it wrote');
    again.messages.forEach((message, i) => {
      check(message.isComplete && message.body === finals[i]!.body, `weir reads another body ${i} in what it wrote`);
      check(message.trailers === finals[i]!.trailerText, `weir reads other trailers ${i} in what it wrote`);
    });
    const isKnown = side === 'response' || passed.every((message) => parserMethods.includes(message.startLine.split(' ')[0]!));
    const isTunnel = /framing tunnel|6 CONNECT/.test(whole.text);
    // White space around a value may be a tab. llhttp takes that for another coding, and in a response reads until close.
    const hasTab = /chunked *\t/i.test(text);
    if (isTunnel || hasTab) return;
    if (isKnown) check(compareWithLlhttp(side, output, answered, passed, true), 'llhttp refuses what weir wrote');
    if (whole.fault === '' && compareWithLlhttp(side, input, methods, passed, false)) count.compared++;
  } catch (error) {
    throw new Error(`seed ${seed}, case ${number}, ${side} ${JSON.stringify(text)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** The heads whose messages are complete, with their bodies. Interim heads count as messages once the next head has come. */
function completeOf(heads: Passed[], transcript: Transcript): Passed[] {
  const passed: Passed[] = [];
  let at = 0;
  for (const message of transcript.messages) {
    const end = at + message.interim.length + (message.head === '' ? 0 : 1);
    // A tunnel's bytes are no message: nobody reads them back.
    if (!message.isComplete || heads[end - 1]!.framing === framing.tunnel) break;
    for (; at < end; at++) passed.push(heads[at]!);
    passed.at(-1)!.body = message.body;
    passed.at(-1)!.trailerText = message.trailers;
  }
  return passed;
}

/** Runs cases until `seconds` have passed. */
export function fuzz(seed: number, seconds: number): FuzzCount {
  const count: FuzzCount = { cases: 0, accepted: 0, messages: 0, compared: 0 };
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) for (let times = 0; times < 20; times++) runCase(seed, count.cases, count);
  return count;
}

if (import.meta.main) {
  const argument = (name: string, otherwise: number): number => {
    const at = process.argv.indexOf(name);
    return at < 0 ? otherwise : Number(process.argv[at + 1]);
  };
  const seed = argument('--seed', 1);
  const one = argument('--case', -1);
  const count: FuzzCount = { cases: 0, accepted: 0, messages: 0, compared: 0 };
  if (one >= 0) runCase(seed, one, count);
  console.log(`seed ${seed}:`, one >= 0 ? count : fuzz(seed, argument('--seconds', 10)));
}
