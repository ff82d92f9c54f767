/**
 * Process of an endpoint that answers with keyed bodies. Arguments: port, name. Says {port} when it listens, {stats} when asked.
 *
 *     GET  /keyed/KEY/SIZE   SIZE bytes of KEY
 *     POST /echo             the request's body, streamed back
 *     POST /sum              bytes and SHA-256 of the body, when it is complete
 *     GET  /slow/MS          an answer after so many ms
 *     GET  /drip/KEY/SIZE/MS SIZE bytes of KEY, a hundredth of them every MS
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { keyedBody } from './keyed.ts';

const [port, name] = [Number(process.argv[2]), process.argv[3]!];
const stats = { requests: 0, connections: 0, open: 0, aborted: 0, finished: 0 };

const server = createServer({ keepAliveTimeout: 600_000, headersTimeout: 0, requestTimeout: 0 }, (request, response) => {
  stats.requests++;
  response.on('finish', () => stats.finished++);
  response.on('close', () => {
    if (!response.writableFinished) stats.aborted++;
  });
  request.on('error', () => {});
  response.setHeader('x-endpoint', name);
  const [, kind, first, second, third] = request.url!.split('?')[0]!.split('/');
  if (kind === 'keyed') {
    const body = keyedBody(first!, Number(second));
    response.setHeader('content-length', body.length);
    response.end(body);
  } else if (kind === 'echo') {
    if (request.headers['content-length'] !== undefined) response.setHeader('content-length', request.headers['content-length']);
    request.pipe(response);
  } else if (kind === 'sum') {
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    request.on('end', () => response.end(`${bytes} ${hash.digest('hex')}`));
  } else if (kind === 'slow') {
    request.resume();
    setTimeout(() => response.end(`${name}\n`), Number(first));
  } else if (kind === 'drip') {
    const body = keyedBody(first!, Number(second));
    response.setHeader('content-length', body.length);
    const step = Math.max(1, Math.ceil(body.length / 100));
    let at = 0;
    const timer = setInterval(() => {
      response.write(body.subarray(at, at + step));
      at += step;
      if (at < body.length) return;
      clearInterval(timer);
      response.end();
    }, Number(third));
    response.on('close', () => clearInterval(timer));
  } else {
    request.resume();
    response.end(`${name}\n`);
  }
});
server.on('connection', (socket) => {
  stats.connections++;
  stats.open++;
  socket.on('close', () => stats.open--);
});
server.listen({ port, host: '127.0.0.1', backlog: 1024 }, () =>
  process.send!({ port: (server.address() as { port: number }).port }),
);
process.on('message', () => process.send!({ stats }));
// The test that started it is gone: so is its endpoint.
process.on('disconnect', () => process.exit(0));
