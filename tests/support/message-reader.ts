/**
 * A small strict reader of HTTP/1 messages, written apart from src/ so that a mistake there does not find its twin here.
 *
 * It accepts only what RFC 9112 lets a sender send: CRLF line ends, no folding, no space before the colon, one framing, minimal chunk
 * heads. Whatever else weir emitted would be thrown as a ProtocolError.
 */
export class ProtocolError extends Error {
  override name = 'ProtocolError';
}

export interface Message {
  /** First line, without CRLF. */
  startLine: string;
  /** 0 for a request. */
  status: number;
  /** As received, in order. */
  fields: [name: string, value: string][];
  body: Buffer;
  /** Bytes of body seen, kept or not. */
  bodyBytes: number;
  trailers: [name: string, value: string][];
  framing: 'none' | 'length' | 'chunked' | 'close';
}

/** All values of a field, by lower-case name. */
export function fieldsOf(message: Message, name: string): string[] {
  return message.fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
}

/** The one value of a field, or undefined; more than one is an error. */
export function fieldOf(message: Message, name: string): string | undefined {
  const values = fieldsOf(message, name);
  if (values.length > 1) throw new ProtocolError(`${values.length} fields named ${name}`);
  return values[0];
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const fieldValue = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;
const statusLine = /^HTTP\/1\.1 ([1-9]\d\d) ([\t -~\x80-\xff]*)$/;
const requestLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP\/1\.1$/;
const HEAD_BYTES_MAX = 256 * 1024;

type State = 'head' | 'length' | 'chunkHead' | 'chunk' | 'chunkEnd' | 'trailers' | 'close';

export class MessageReader {
  /** Complete messages not yet taken. Interim responses are messages of their own. */
  readonly messages: Message[] = [];
  /** The message whose head is complete and whose body is not. */
  current: Message | null = null;
  /** Called with each piece of a body. */
  onBody: ((piece: Buffer, message: Message) => void) | null = null;
  /** Keep bodies in `body`; turn it off for large ones. */
  keepsBody = true;
  private readonly side: 'request' | 'response';
  /** Methods of the requests to be answered, in order; GET when unknown. */
  private readonly methods: string[] = [];
  private pending: Buffer = Buffer.alloc(0);
  private state: State = 'head';
  private left = 0;
  private pieces: Buffer[] = [];

  constructor(side: 'request' | 'response') {
    this.side = side;
  }

  /** The next final response answers this method. */
  expect(method: string): void {
    this.methods.push(method);
  }

  /** Nothing of a further message has arrived. */
  get isBetween(): boolean {
    return this.state === 'head' && this.pending.length === 0;
  }

  /** Bytes that belong to no complete part yet. */
  get rest(): Buffer {
    return this.pending;
  }

  feed(bytes: Buffer): void {
    this.pending = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    while (this.step());
  }

  /** The peer closed its side. */
  end(): void {
    if (this.state === 'close') this.finish();
    else if (!this.isBetween)
      throw new ProtocolError(`closed inside a message (${this.state}, ${this.current?.bodyBytes ?? 0} bytes of body seen)`);
  }

  private step(): boolean {
    switch (this.state) {
      case 'head':
        return this.readHead();
      case 'length':
      case 'chunk':
      case 'close': {
        if (this.pending.length === 0 && this.left > 0) return false;
        const take = Math.min(this.left, this.pending.length);
        this.addBody(this.pending.subarray(0, take));
        this.pending = this.pending.subarray(take);
        this.left -= take;
        if (this.left > 0) return false;
        if (this.state === 'length') this.finish();
        else this.state = 'chunkEnd';
        return true;
      }
      case 'chunkHead': {
        const line = this.takeLine(64);
        if (line === null) return false;
        if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw new ProtocolError(`bad chunk head ${JSON.stringify(line)}`);
        this.left = Number.parseInt(line, 16);
        this.state = this.left === 0 ? 'trailers' : 'chunk';
        return true;
      }
      case 'chunkEnd': {
        if (this.pending.length < 2) return false;
        if (this.pending[0] !== 13 || this.pending[1] !== 10) throw new ProtocolError('chunk not ended by CRLF');
        this.pending = this.pending.subarray(2);
        this.state = 'chunkHead';
        return true;
      }
      case 'trailers': {
        const line = this.takeLine(HEAD_BYTES_MAX);
        if (line === null) return false;
        if (line === '') this.finish();
        else this.current!.trailers.push(splitField(line));
        return true;
      }
    }
  }

  private takeLine(bytesMax: number): string | null {
    const at = this.pending.indexOf(10);
    if (at < 0) {
      if (this.pending.length > bytesMax) throw new ProtocolError('line too long');
      return null;
    }
    if (at === 0 || this.pending[at - 1] !== 13) throw new ProtocolError('bare LF');
    const line = this.pending.toString('latin1', 0, at - 1);
    if (line.includes('\r')) throw new ProtocolError('bare CR');
    this.pending = this.pending.subarray(at + 1);
    return line;
  }

  private readHead(): boolean {
    const end = this.pending.indexOf('\r\n\r\n');
    if (end < 0) {
      const lineEnd = this.pending.indexOf(10);
      if (lineEnd >= 0 && (lineEnd === 0 || this.pending[lineEnd - 1] !== 13)) throw new ProtocolError('bare LF');
      if (this.pending.length > HEAD_BYTES_MAX) throw new ProtocolError('head too long');
      // Early word on what can become no message.
      if (this.side === 'response' && this.pending.length >= 9 && !/^HTTP\/1\.1 /.test(this.pending.toString('latin1', 0, 9)))
        throw new ProtocolError(`not a response: ${JSON.stringify(this.pending.toString('latin1', 0, 40))}`);
      return false;
    }
    const text = this.pending.toString('latin1', 0, end);
    this.pending = this.pending.subarray(end + 4);
    const lines = text.split('\r\n');
    if (lines.some((line) => /[\r\n]/.test(line))) throw new ProtocolError('bare CR or LF in the head');
    const message: Message = {
      startLine: lines[0]!,
      status: 0,
      fields: lines.slice(1).map(splitField),
      body: Buffer.alloc(0),
      bodyBytes: 0,
      trailers: [],
      framing: 'none',
    };
    if (this.side === 'response') {
      const match = statusLine.exec(message.startLine);
      if (match === null) throw new ProtocolError(`bad status line ${JSON.stringify(message.startLine)}`);
      message.status = Number(match[1]);
    } else if (!requestLine.test(message.startLine))
      throw new ProtocolError(`bad request line ${JSON.stringify(message.startLine)}`);
    this.current = message;
    this.pieces = [];
    this.frame(message);
    return true;
  }

  /** RFC 9112 §6.3, for a receiver that trusts nobody. */
  private frame(message: Message): void {
    const lengths = fieldsOf(message, 'content-length');
    const codings = fieldsOf(message, 'transfer-encoding');
    if (lengths.length > 1) throw new ProtocolError('several Content-Length fields');
    if (codings.length > 1) throw new ProtocolError('several Transfer-Encoding fields');
    if (lengths.length > 0 && codings.length > 0) throw new ProtocolError('Content-Length and Transfer-Encoding');
    if (lengths.length > 0 && !/^(?:0|[1-9]\d{0,14})$/.test(lengths[0]!))
      throw new ProtocolError(`bad Content-Length ${lengths[0]}`);
    if (codings.length > 0 && codings[0]!.toLowerCase() !== 'chunked')
      throw new ProtocolError(`bad Transfer-Encoding ${codings[0]}`);
    const { status } = message;
    if (this.side === 'response') {
      const isInterim = status < 200 && status !== 101;
      const method = isInterim ? 'GET' : (this.methods.shift() ?? 'GET');
      if (isInterim || status === 204) {
        if (lengths.length + codings.length > 0) throw new ProtocolError(`framing fields in a ${status}`);
        this.finish();
        return;
      }
      if (method === 'HEAD' || status === 304) {
        this.finish();
        return;
      }
      if (status === 101 || (method === 'CONNECT' && status < 300)) {
        this.bodyUntilClose(message);
        return;
      }
    }
    if (codings.length > 0) {
      message.framing = 'chunked';
      this.state = 'chunkHead';
    } else if (lengths.length > 0) {
      message.framing = 'length';
      this.left = Number(lengths[0]);
      this.state = 'length';
      if (this.left === 0) this.finish();
    } else if (this.side === 'request') this.finish();
    else this.bodyUntilClose(message);
  }

  private bodyUntilClose(message: Message): void {
    message.framing = 'close';
    this.left = Number.POSITIVE_INFINITY;
    this.state = 'close';
  }

  private addBody(piece: Buffer): void {
    if (piece.length === 0) return;
    const message = this.current!;
    message.bodyBytes += piece.length;
    // A copy: the piece is a window on a larger buffer that should not live as long as the message.
    if (this.keepsBody) this.pieces.push(Buffer.from(piece));
    this.onBody?.(piece, message);
  }

  private finish(): void {
    const message = this.current!;
    message.body = Buffer.concat(this.pieces);
    this.pieces = [];
    this.current = null;
    this.state = 'head';
    this.left = 0;
    this.messages.push(message);
  }
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':');
  if (colon <= 0) throw new ProtocolError(`not a field: ${JSON.stringify(line)}`);
  const name = line.slice(0, colon);
  if (!token.test(name)) throw new ProtocolError(`bad field name ${JSON.stringify(name)}`);
  const value = line.slice(colon + 1).replace(/^[ \t]*|[ \t]*$/g, '');
  if (!fieldValue.test(value)) throw new ProtocolError(`bad field value ${JSON.stringify(value)}`);
  return [name, value];
}
