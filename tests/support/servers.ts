/** Servers of Node's behind weir, with their end. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';

export interface Running {
  /** "127.0.0.1:PORT". */
  address: string;
  /** Breaks its connections off, too. */
  close(): void;
}

/** Listens on a free port. Servers of HTTP and TLS are servers of `node:net`, too. */
export async function listenOn(server: Server): Promise<Running> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Answers each request with the fields it came with, as JSON. */
export function mirror(): Promise<Running> {
  return listenOn(createServer((request, response) => response.end(JSON.stringify(request.headers))));
}
