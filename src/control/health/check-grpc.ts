/**
 * check-grpc: asks grpc.health.v1.Health/Check (github.com/grpc/grpc/blob/master/doc/health-checking.md) over HTTP/2.
 *
 * Both messages are one field, so they are written and read by hand (protobuf wire format):
 *     HealthCheckRequest  { string service = 1; }       0x0a, length, bytes
 *     HealthCheckResponse { ServingStatus status = 1; } 0x08, varint; absent is 0
 * In gRPC a message has a byte 0 (not compressed) and its length in 4 bytes before it.
 */
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import type { CheckTlsPlan } from '../../state/plan.ts';
import { type CheckTarget, failed, type Heard, passed, printable } from './check.ts';
import { type Attempt, failedByStream, type Speak, StreamCheck } from './check-stream.ts';

/** Of the answer. It needs 7. */
const ANSWER_BYTES_MAX = 1024;

/** ServingStatus of health.proto. */
const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
/** Codes that servers answer a check with (grpc/doc/statuscodes.md). */
const codeNames: Readonly<Record<string, string>> = {
  '1': 'CANCELLED',
  '2': 'UNKNOWN',
  '4': 'DEADLINE_EXCEEDED',
  '5': 'NOT_FOUND',
  '7': 'PERMISSION_DENIED',
  '8': 'RESOURCE_EXHAUSTED',
  '12': 'UNIMPLEMENTED',
  '13': 'INTERNAL',
  '14': 'UNAVAILABLE',
  '16': 'UNAUTHENTICATED',
};

/** The request with its frame. */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  if (name.length === 0) return Buffer.alloc(5);
  const length: number[] = [];
  for (let rest = name.length; ; rest >>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const message = Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** ServingStatus of an answer with its frame; -1 when it is none. Fields that are not known are passed over (protobuf). */
export function decodeAnswer(answer: Buffer): number {
  if (answer.length < 5 || answer[0] !== 0 || answer.readUInt32BE(1) !== answer.length - 5) return -1;
  let status = 0;
  let at = 5;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 28 && at < answer.length; shift += 7) {
      const byte = answer[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    return -1;
  };
  while (at < answer.length) {
    const tag = varint();
    const value = (tag & 7) === 0 || (tag & 7) === 2 ? varint() : -1;
    if (tag < 0 || value < 0) return -1;
    if (tag === 0x08) status = value;
    else if ((tag & 7) === 2) at += value;
  }
  return at === answer.length ? status : -1;
}

/** Judges what came: the body, and grpc-status with its message. */
export function judgeAnswer(body: Buffer, grpcStatus: string, message: string): Heard {
  if (grpcStatus !== '0') {
    const name = codeNames[grpcStatus] ?? '';
    return failed('not_serving', printable(`grpc-status ${grpcStatus} ${name} ${message}`));
  }
  const status = decodeAnswer(body);
  if (status < 0) return failed('http_protocol_error', 'the answer is no HealthCheckResponse');
  const name = statusNames[status] ?? `status ${status}`;
  return status === 1 ? passed(name) : failed('not_serving', name);
}

export function grpcCheck(target: CheckTarget, service: string, host: string | null, tls: CheckTlsPlan | null): StreamCheck {
  const request = encodeRequest(service);
  const authority = host ?? target.authority;
  const scheme = tls === null ? 'http' : 'https';
  const speak: Speak = (attempt) => {
    const session = connectHttp2(`${scheme}://${authority}`, { createConnection: () => attempt.socket });
    attempt.release = () => session.destroy();
    session.on('error', (error) => attempt.end(failedByHttp2(error)));
    ask(session, attempt, { ':scheme': scheme, ':authority': authority }, request);
  };
  return new StreamCheck(target, tls, 'h2', speak);
}

function ask(session: ClientHttp2Session, attempt: Attempt, where: Record<string, string>, request: Buffer): void {
  const stream = session.request({
    ...where,
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    'user-agent': 'weir-check',
    te: 'trailers',
  });
  let body: Buffer = Buffer.alloc(0);
  let grpcStatus = '';
  let message = '';
  const takeStatus = (fields: Record<string, unknown>): void => {
    if (typeof fields['grpc-status'] !== 'string') return;
    grpcStatus = fields['grpc-status'];
    message = String(fields['grpc-message'] ?? '');
  };
  stream.on('response', (fields) => {
    takeStatus(fields);
    const status = fields[':status'];
    if (status !== 200) attempt.end(failed('status', printable(`${status}`)));
  });
  stream.on('trailers', takeStatus);
  stream.on('data', (bytes: Buffer) => {
    body = Buffer.concat([body, bytes]);
    if (body.length > ANSWER_BYTES_MAX)
      attempt.end(failed('http_response_body_size', `an answer above ${ANSWER_BYTES_MAX} bytes`));
  });
  stream.on('end', () => {
    attempt.end(
      grpcStatus === '' ? failed('http_protocol_error', 'an answer without grpc-status') : judgeAnswer(body, grpcStatus, message),
    );
  });
  stream.on('error', (error) => attempt.end(failedByHttp2(error)));
  stream.end(request);
}

function failedByHttp2(error: NodeJS.ErrnoException): Heard {
  const code = error.code ?? '';
  return code.startsWith('ERR_HTTP2') ? failed('http_protocol_error', printable(error.message)) : failedByStream(error);
}
