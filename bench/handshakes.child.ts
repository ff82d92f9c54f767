/**
 * A client that pays for a whole handshake with every request: connects without a ticket, asks one small question, reads until the end, and begins anew, several at a time.
 * Arguments: port, connections, seconds. Says one {@link Run} when the time is over. It is slower than what it measures: only the CPU of the other side counts.
 */
import { connect } from 'node:tls';
import type { Run } from './programs.ts';

const TIMEOUT_MS = 8000;
const [port, connections, seconds] = [Number(process.argv[2]), Number(process.argv[3]), Number(process.argv[4])];
const beganMs = performance.now();
const endMs = beganMs + seconds * 1000;
const tookUs: number[] = [];
let bytes = 0;
let errors = 0;
let status = 0;
let open = 0;

function ask(): void {
  const startedMs = performance.now();
  if (startedMs >= endMs) {
    if (open === 0) finish();
    return;
  }
  open++;
  let answer = '';
  let isBroken = false;
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: 'bench',
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    // What every OpenSSL has: newer ones would agree on a hybrid (X25519MLKEM768), which is more work.
    ecdhCurve: 'X25519',
  });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')));
  socket.on('secureConnect', () => {
    // No ticket was offered, so a session that is resumed would be a bug of this program.
    if (socket.isSessionReused()) isBroken = true;
    socket.write('GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n');
  });
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
  socket.on('error', () => (isBroken = true));
  socket.on('close', () => {
    open--;
    if (isBroken || !answer.includes('from backend')) errors++;
    else {
      if (!answer.startsWith('HTTP/1.1 200 ')) status++;
      bytes += answer.length;
      tookUs.push((performance.now() - startedMs) * 1000);
    }
    ask();
  });
}

function finish(): void {
  tookUs.sort((a, b) => a - b);
  const at = (share: number): number => tookUs[Math.min(tookUs.length - 1, Math.floor(share * tookUs.length))] ?? 0;
  const run: Run = {
    requests: tookUs.length,
    us: (performance.now() - beganMs) * 1000,
    bytes,
    errors,
    status,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
  };
  process.send!(run, () => process.exit(0));
}

process.on('disconnect', () => process.exit(0));
for (let i = 0; i < connections; i++) ask();
