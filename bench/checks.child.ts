/** Targets of bench/checks.bench.ts: one socket that answers on every loopback address. Says {port} when it listens; ends with its parent. */
import { type AddressInfo, createServer } from 'node:net';

const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n');
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', () => socket.end(answer));
});
server.listen({ port: 0, host: '0.0.0.0', backlog: 4096 }, () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
