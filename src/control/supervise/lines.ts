/** Lines: messages of the control channel over a stream, one line of JSON each. */
import type { Duplex } from 'node:stream';
import type { DownMessage, UpMessage } from '../../state/channel.ts';

/** A worker that sends more without a line's end is broken. */
const LINE_BYTES_MAX = 1024 * 1024;

/** Calls `onMessage` for each line; `onBroken` once when what comes is no message. */
export function readLines(stream: Duplex, onMessage: (message: UpMessage) => void, onBroken: (why: string) => void): void {
  let pending = '';
  let isBroken = false;
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    if (isBroken) return;
    pending += text;
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      let message: UpMessage;
      try {
        message = JSON.parse(line) as UpMessage;
      } catch {
        isBroken = true;
        return onBroken(`not a message: ${line.slice(0, 80)}`);
      }
      onMessage(message);
    }
    if (pending.length > LINE_BYTES_MAX) {
      isBroken = true;
      onBroken('a line without end');
    }
  });
}

export function writeLine(stream: Duplex, message: DownMessage): void {
  if (stream.writable) stream.write(JSON.stringify(message) + '\n');
}
