/**
 * Opens many connections, asks one small question on each, and then keeps them open and silent. Arguments: port, count, http or https. Says {open} when all have
 * been answered; ends when it is told to or its parent is gone.
 */
import { createConnection, type Socket } from 'node:net';
import { connect } from 'node:tls';

/** Per source address: under the usual limit of connections a client address may hold. */
const PER_ADDRESS = 200;
const AT_ONCE = 200;
const [port, count] = [Number(process.argv[2]), Number(process.argv[3])];
const isTls = process.argv[4] === 'https';
/** What every OpenSSL has: newer ones would agree on a hybrid (X25519MLKEM768), whose keys a connection keeps. */
const ecdhCurve = 'X25519';
const sockets: Socket[] = [];
let begun = 0;
let answered = 0;
let failures = 0;

function open(): void {
  if (begun >= count) return;
  const index = begun++;
  const localAddress = `127.0.${1 + Math.floor(index / PER_ADDRESS / 200)}.${2 + (Math.floor(index / PER_ADDRESS) % 200)}`;
  const where = { port, host: '127.0.0.1', localAddress };
  const socket = isTls
    ? connect({ ...where, servername: 'bench', rejectUnauthorized: false, ecdhCurve })
    : createConnection(where);
  let seen = '';
  sockets.push(socket);
  socket.on(isTls ? 'secureConnect' : 'connect', () => socket.write('GET / HTTP/1.1\r\nHost: bench\r\n\r\n'));
  socket.on('data', (chunk: Buffer) => {
    if (seen.endsWith('!')) return;
    seen += chunk.toString('latin1');
    if (!seen.includes('from backend')) return;
    seen = '!';
    answered++;
    settle();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (seen !== '!') {
      failures++;
      settle();
    }
  });
}

function settle(): void {
  open();
  if (answered + failures === count) process.send!({ open: sockets.filter((socket) => !socket.destroyed).length, failures });
}

process.on('message', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
for (let i = 0; i < AT_ONCE; i++) open();
