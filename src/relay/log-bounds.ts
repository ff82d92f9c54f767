/** log-bounds: how many bytes a line of the access log takes at most. Texts from outside are cut at these limits. */
import { ESCAPE_BYTES, FIELD_BYTES_MAX, NAME_BYTES_MAX } from './line-bytes.ts';
import { ATTEMPTS_MAX, type LogRecord } from './log-record.ts';

/** Bytes that a path or a query takes in a line at most, escapes counted. */
export const TARGET_BYTES_MAX = 2048;
/** What every line needs besides its texts: keys, numbers, times. */
const FIXED_BYTES = 1280;
/** The same for one attempt. */
const ATTEMPT_BYTES = 128;
/** Node, worker and the key of the epoch. */
const OWN_BYTES_MAX = NAME_BYTES_MAX + 64;
/** Room that every line fits into. */
export const LINE_BYTES_MAX =
  FIXED_BYTES +
  OWN_BYTES_MAX +
  2 * TARGET_BYTES_MAX +
  4 * FIELD_BYTES_MAX +
  10 * NAME_BYTES_MAX +
  ATTEMPTS_MAX * (ATTEMPT_BYTES + NAME_BYTES_MAX);

/** Bytes that the line of this record cannot exceed, without those of its writer. */
export function lineBound(r: LogRecord): number {
  let bound =
    FIXED_BYTES + textBound(r.pathEnd - r.pathStart, TARGET_BYTES_MAX) + textBound(r.queryEnd - r.queryStart, TARGET_BYTES_MAX);
  bound += textBound(r.methodEnd - r.methodStart, FIELD_BYTES_MAX) + textBound(r.hostEnd - r.hostStart, FIELD_BYTES_MAX);
  bound +=
    textBound(r.userAgentEnd - r.userAgentStart, FIELD_BYTES_MAX) + textBound(r.refererEnd - r.refererStart, FIELD_BYTES_MAX);
  bound +=
    textBound(r.id.length, NAME_BYTES_MAX) +
    textBound(r.listener.length, NAME_BYTES_MAX) +
    textBound(r.route.length, NAME_BYTES_MAX);
  bound += textBound(r.pool.length, NAME_BYTES_MAX) + textBound(r.endpoint.length, NAME_BYTES_MAX);
  bound += textBound(r.client.length, NAME_BYTES_MAX) + textBound(r.peer.length, NAME_BYTES_MAX);
  bound += textBound(r.limit.length, NAME_BYTES_MAX);
  // Beside the texts that a line has anyhow: version and cipher are short and in FIXED_BYTES.
  bound += textBound(r.serverName.length, NAME_BYTES_MAX);
  if (r.tls !== null) bound += textBound(r.tls.alpn.length, NAME_BYTES_MAX);
  return bound + r.attemptCount * (ATTEMPT_BYTES + NAME_BYTES_MAX);
}
function textBound(length: number, max: number): number {
  return Math.min(length * ESCAPE_BYTES, max);
}
