/** Connections carried as they are, as tests see them: a configuration with one TCP listener, many clients at once, and the guard against leaks. */
import assert from 'node:assert/strict';
import { connect, type Peer, type Script } from './peer.ts';
import { descriptorsOf, descriptorTargets } from './system.ts';
import { until } from './wait.ts';
import { simpleConfig, type Weir, type WeirConfig } from './weir.ts';

/** Sends back what comes, and ends when the other side does. */
export const echo: Script = (peer) => {
  peer.socket.on('data', (chunk: Buffer) => peer.send(chunk));
  peer.socket.on('end', () => peer.sendEnd());
};

/** {@link simpleConfig} with a listener of connections on all addresses of this machine. */
export function streamConfig(
  ports: { web: number; admin: number },
  endpoints: readonly (string | Record<string, unknown>)[],
  more: { listener?: Record<string, unknown>; pool?: Record<string, unknown>; top?: Record<string, unknown> } = {},
): WeirConfig {
  return simpleConfig(ports, endpoints, {
    ...more,
    listener: { protocol: 'tcp', listen: `0.0.0.0:${ports.web}`, ...more.listener },
  });
}

/**
 * So many clients one after the other, over addresses of this machine, 32 to each: the weir listens on all. None is bound by bind(2): a port that
 * was, is lost to every other connection of the machine. Those refused while they connect are left out.
 */
export async function dialMany(port: number, count: number): Promise<Peer[]> {
  const clients: Peer[] = [];
  for (let i = 0; i < count; i++) {
    const client = await connect(port, `127.0.1.${1 + (i >> 5)}`).catch(() => null);
    if (client !== null) clients.push(client);
  }
  return clients;
}

/** Every one of them gets back what it sends now. */
export async function expectEcho(clients: readonly Peer[], word: string): Promise<void> {
  for (const client of clients) client.send(word);
  for (const client of clients) await client.expect(new RegExp(`${word}$`));
}

/** Says hello on each and sorts them: those that were answered, and those that were reset. */
export async function sortByAnswer(clients: readonly Peer[]): Promise<{ served: Peer[]; refused: Peer[] }> {
  for (const client of clients) client.send('hello');
  await until(
    'an answer or an end for each',
    () => clients.every((client) => client.received === 'hello' || client.ending !== 'open' || client.socket.destroyed),
    10_000,
  );
  const served = clients.filter((client) => client.received === 'hello');
  return { served, refused: clients.filter((client) => !served.includes(client)) };
}

/** Descriptors of the first worker now; call what it returns when all is over: then none may be more. */
export function descriptorGuard(weir: Weir): () => Promise<void> {
  const [pid] = weir.workers;
  const before = descriptorsOf(pid!);
  return async () => {
    // The counts are made anew once a second: to ask more often would only use up local ports, of which a test may have few.
    await until('all clients to be let go', async () => (await weir.metric('weir_connections')) === 0, 10_000, 100);
    await until('the descriptors of the worker to come back', () => descriptorsOf(pid!) <= before).catch((error: Error) => {
      error.message += `: ${descriptorsOf(pid!)} instead of ${before}, ${descriptorTargets(pid!).join(' ')}`;
      throw error;
    });
    assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
  };
}
