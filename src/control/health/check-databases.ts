/**
 * check-databases: what a Redis, PostgreSQL or MySQL server says before anybody has logged in: it is alive, without a password and without an
 * entry in its list of clients for longer than one round trip. Pure.
 *
 * Sources: RESP (redis.io/docs/latest/develop/reference/protocol-spec), PostgreSQL 53.2.11 "SSL Session Encryption" and 53.7 SSLRequest,
 * MySQL "Protocol::Handshake" and "ERR_Packet".
 */
import { cutOff, failed, type Heard, type Hearing, passed, printable, type Script } from './check.ts';

/** More than any of these answers needs. */
const ANSWER_BYTES_MAX = 1024;
const NO_BYTES = Buffer.alloc(0);

/** Reads an answer that is judged as a whole each time more of it has come. */
class Answer implements Hearing {
  isOver = false;
  private held: Buffer = NO_BYTES;
  private readonly judge: (answer: Buffer) => Heard | null;

  constructor(judge: (answer: Buffer) => Heard | null) {
    this.judge = judge;
  }

  hear(bytes: Buffer): Heard | null {
    this.held = Buffer.concat([this.held, bytes.subarray(0, ANSWER_BYTES_MAX)]);
    const heard = this.judge(this.held) ?? (this.held.length < ANSWER_BYTES_MAX ? null : garbage(this.held));
    if (heard !== null) this.isOver = true;
    return heard;
  }

  end(): Heard {
    this.isOver = true;
    return this.held.length === 0 ? cutOff : garbage(this.held);
  }
}

const garbage = (answer: Buffer): Heard => failed('protocol_error', `not the protocol that was asked for: ${printable(answer)}`);

function script(opening: Uint8Array, judge: (answer: Buffer) => Heard | null): Script {
  return { opening, timeoutReason: 'connection_read_timeout', endpointCloses: false, begin: () => new Answer(judge) };
}

/** A line that begins with + or - (RESP simple string or error), without its first byte. */
function respLine(answer: Buffer): string | null {
  const end = answer.indexOf('\r\n');
  return end < 0 ? null : answer.toString('latin1', 1, end);
}

/** Who wants a password is alive; who loads its data, has lost its master or takes no more clients cannot be used. */
export const redisScript: Script = script(Buffer.from('*1\r\n$4\r\nPING\r\n'), (answer) => {
  const isError = answer[0] === 0x2d;
  if (!isError && answer[0] !== 0x2b) return garbage(answer);
  const line = respLine(answer);
  if (line === null) return null;
  if (!isError) return line === 'PONG' ? passed('PONG') : garbage(answer);
  const word = line.split(' ', 1)[0]!;
  if (word === 'NOAUTH' || word === 'NOPERM') return passed(printable(line));
  return failed(word === 'LOADING' ? 'loading' : 'server_error', printable(line));
});

/** Length 8, and 1234 in the high 16 bits, 5679 in the low ones. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export const postgresScript: Script = script(sslRequest, (answer) => {
  if (answer[0] === 0x53) return passed('answers, with TLS');
  if (answer[0] === 0x4e) return passed('answers, without TLS');
  if (answer[0] !== 0x45) return garbage(answer);
  // ErrorResponse: its length, then fields of a letter and a text that ends with a NUL. "M" is the message. Before protocol 3 it was text alone.
  if (answer.length < 5) return null;
  const length = answer.readUInt32BE(1);
  if (length > ANSWER_BYTES_MAX) {
    const end = answer.indexOf(0, 1);
    return end < 0 ? null : failed('server_error', printable(answer.subarray(1, end)));
  }
  if (answer.length < length + 1) return null;
  const message = answer
    .toString('latin1', 5, length + 1)
    .split('\0')
    .find((field) => field.startsWith('M'));
  return failed('server_error', printable(message?.slice(1) ?? 'an error without a message'));
});

/** The endpoint speaks first: a packet of 3 bytes length (low first), a sequence number and the payload. */
export const mysqlScript: Script = script(Buffer.alloc(0), (answer) => {
  if (answer.length < 5) return null;
  const length = answer.readUIntLE(0, 3);
  const kind = answer[4];
  if (answer[3] !== 0 || length < 3 || (kind !== 10 && kind !== 0xff)) return garbage(answer);
  if (kind === 10) {
    const end = answer.indexOf(0, 5);
    return end < 0 ? null : passed(`version ${printable(answer.subarray(5, end))}`);
  }
  if (answer.length < Math.min(length + 4, ANSWER_BYTES_MAX)) return null;
  const code = answer.readUInt16LE(5);
  // "#" and the five characters of SQLSTATE come before the text in newer servers.
  const text = answer[7] === 0x23 ? answer.subarray(13, length + 4) : answer.subarray(7, length + 4);
  return failed('server_error', `${code} ${printable(text)}`);
});
