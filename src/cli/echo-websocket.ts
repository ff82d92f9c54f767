/**
 * The WebSocket side of a test endpoint (RFC 6455): answers the handshake, echoes text and binary messages frame by frame, answers ping
 * and close. No extensions, frames up to 1 MiB.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const FRAME_BYTES_MAX = 1024 * 1024;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A frame from server to client is not masked (RFC 6455 §5.1). `first` is the first byte: FIN and opcode. */
function frame(first: number, payload: Buffer): Buffer {
  const size = payload.length;
  const head = size < 126 ? Buffer.alloc(2) : size < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = first;
  if (size < 126) head[1] = size;
  else if (size < 65536) {
    head[1] = 126;
    head.writeUInt16BE(size, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  return Buffer.concat([head, payload]);
}

export function echoWebsocket(request: IncomingMessage, socket: Duplex, head: Buffer, name: string): void {
  const key = request.headers['sec-websocket-key'];
  socket.on('error', () => socket.destroy());
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || key === undefined) {
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    return;
  }
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nX-Endpoint: ${name}\r\n\r\n`,
  );
  let pending = head;
  const take = (chunk: Buffer): void => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      const used = takeFrame(pending, socket);
      if (used === 0) return;
      if (used < 0) return void socket.destroy();
      pending = pending.subarray(used);
    }
  };
  socket.on('data', take);
  socket.on('end', () => socket.end());
  if (head.length > 0) take(Buffer.alloc(0));
}

/** Answers the first whole frame in `bytes`. Returns its length, 0 when it is not whole yet, -1 when it is none. */
function takeFrame(bytes: Buffer, socket: Duplex): number {
  if (bytes.length < 2) return 0;
  const isMasked = (bytes[1]! & 0x80) !== 0;
  let size = bytes[1]! & 0x7f;
  let at = 2;
  if (size === 126) {
    if (bytes.length < 4) return 0;
    size = bytes.readUInt16BE(2);
    at = 4;
  } else if (size === 127) {
    if (bytes.length < 10) return 0;
    size = Number(bytes.readBigUInt64BE(2));
    at = 10;
  }
  // RFC 6455 §5.1: a client's frame is masked, else the connection is failed.
  if (!isMasked || size > FRAME_BYTES_MAX) return -1;
  if (bytes.length < at + 4 + size) return 0;
  const mask = bytes.subarray(at, at + 4);
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + size));
  for (let i = 0; i < size; i++) payload[i]! ^= mask[i & 3]!;
  const opcode = bytes[0]! & 0x0f;
  if (opcode === CLOSE) socket.end(frame(0x80 | CLOSE, payload.subarray(0, 2)));
  else if (opcode === PING) socket.write(frame(0x80 | PONG, payload));
  else if (opcode !== PONG) socket.write(frame(bytes[0]!, payload));
  return at + 4 + size;
}
