/**
 * admin: weir's own HTTP listener: health of the process, metrics, and what is in force.
 *
 * It reads the state table and asks a {@link ControlState}. What it changes is said in writes.ts: states and weights of endpoints, by POST, PATCH
 * and DELETE; every other path answers GET and HEAD only.
 *
 * It does not know: how workers are run, how health is found out, what a configuration file looks like.
 *
 * Rules
 * 1. It listens only where it is told. Whom it answers is decided in guard.ts, and from whom it takes changes in writes.ts, before anything else.
 * 2. Errors are application/problem+json (RFC 9457).
 * 3. Metrics come from a snapshot at most a second old: many scrapes cost as much as one.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { type FastifyInstance, fastify } from 'fastify';
import { type Address, addressText } from '../../base/wire.ts';
import { endpointOf, poolOf, statusOf, type View, workersOf } from './api.ts';
import { certificatesOf } from './certificates.ts';
import type { ControlState } from './control-state.ts';
import { refusal } from './guard.ts';
import { configOf, endpointsOf, listenersOf, routesOf } from './listings.ts';
import { Metrics } from './metrics.ts';
import { PACE_LOOK_MS, Pace } from './pace.ts';
import { problem } from './problem.ts';
import { addRequests } from './requests.ts';
import { addWrites, findEndpoint, writeRefusal } from './writes.ts';

export type { ControlState, EndpointNote, ReadyCheck, ReloadState } from './control-state.ts';

/** Nobody has to send us much. */
const BODY_BYTES_MAX = 64 * 1024;
/** A whole request has to be here by then: a slow client holds no connection for ever. */
const REQUEST_MS_MAX = 10_000;
const IDLE_MS_MAX = 60_000;
/** Open connections of one admin address. */
const CONNECTIONS_MAX = 256;
/** Of one part of a path, escaped: the name of an endpoint has at most 244 bytes. */
const PARAMETER_CHARS_MAX = 1024;
/** Owner and group: who may administrate is a matter of the file system. */
const SOCKET_MODE = 0o660;

export interface AdminOptions {
  /** Port 0 is a free one. */
  addresses: readonly Address[];
  state: ControlState;
  /** Names besides the machine's own under which it is reached, for Host and Origin. */
  hosts?: readonly string[];
  /** Cap of endpoint series at /metrics. */
  seriesMax?: number;
}

export interface Admin {
  /** Where it listens, in the order asked for, with ports filled in. */
  readonly addresses: readonly Address[];
  close(): Promise<void>;
}

/** Listens on all addresses; rejects, listening on none, when one cannot be had. */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const { state } = options;
  const pace = new Pace(state.tally, () => state.plan());
  pace.look();
  const looking = setInterval(() => pace.look(), PACE_LOOK_MS).unref();
  const metrics = new Metrics(state, options.seriesMax, pace);
  const apps: FastifyInstance[] = [];
  const close = async () => {
    clearInterval(looking);
    await Promise.all(apps.map((app) => app.close()));
  };
  try {
    const addresses: Address[] = [];
    for (const address of options.addresses) {
      const app = build(options, { state, pace }, metrics, address.kind === 'unix');
      apps.push(app);
      addresses.push(await listen(app, address));
    }
    return { addresses, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listen(app: FastifyInstance, address: Address): Promise<Address> {
  app.server.maxConnections = CONNECTIONS_MAX;
  if (address.kind === 'ip') {
    await app.listen({ host: address.host, port: address.port });
    const bound = app.server.address();
    return typeof bound === 'object' && bound !== null ? { ...address, port: bound.port } : address;
  }
  mkdirSync(dirname(address.path), { recursive: true });
  // What a killed predecessor left behind is in the way of bind(2); a socket that answers belongs to a living one.
  if (await answers(address.path)) throw new Error(`${addressText(address)} is in use`);
  removeSocket(address.path);
  await app.listen({ path: address.path });
  chmodSync(address.path, SOCKET_MODE);
  return address;
}

function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  // A slip in the configuration must not cost anybody a file.
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`);
  rmSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function build(options: AdminOptions, view: View, metrics: Metrics, isUnix: boolean): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    // Draining must not wait for a scraper's idle connection.
    forceCloseConnections: true,
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: PARAMETER_CHARS_MAX },
  });
  const hosts = (options.hosts ?? []).map((host) => host.toLowerCase());
  app.addHook('onRequest', async (request, reply) => {
    const why = refusal(request.headers.host, request.headers.origin, isUnix, hosts);
    if (why !== null) return problem(reply, 403, why);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      if (request.is404) return problem(reply.header('allow', 'GET, HEAD'), 405, 'only GET and HEAD are answered here');
      const whyNot = request.routeOptions.url === '/api/v1/explain' ? null : writeRefusal(request);
      if (whyNot !== null) return problem(reply, 403, whyNot);
    }
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setNotFoundHandler((_request, reply) => problem(reply, 404, 'there is nothing at this path'));
  app.setErrorHandler((error, _request, reply) => {
    const status = (error as { statusCode?: number }).statusCode ?? 500;
    return problem(reply, status, status < 500 ? (error as Error).message : 'the admin listener failed');
  });
  addProbes(app, options.state);
  addApi(app, view);
  addWrites(app, view);
  addRequests(app, options.state);
  app.get('/metrics', async (request, reply) => {
    const { contentType, text } = await metrics.scrape(request.headers.accept ?? '');
    return reply.type(contentType).send(text);
  });
  return app;
}

function addProbes(app: FastifyInstance, state: ControlState): void {
  app.get('/livez', async (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/startupz', async (_request, reply) => {
    const isStarted = state.plan() !== null;
    return reply
      .code(isStarted ? 200 : 503)
      .type('text/plain')
      .send(isStarted ? 'ok\n' : 'no configuration is in force yet\n');
  });
  app.get<{ Querystring: { verbose?: string } }>('/readyz', async (request, reply) => {
    const checks = state.readyChecks();
    const failed = checks.filter((check) => !check.isOk);
    const isVerbose = request.query.verbose !== undefined && request.query.verbose !== 'false';
    const lines = (isVerbose ? checks : failed).map(
      ({ name, isOk, why }) => `${isOk ? 'ok    ' : 'failed'} ${name}${why === '' ? '' : `: ${why}`}\n`,
    );
    const verdict = failed.length === 0 ? 'ok\n' : 'not ready\n';
    return reply
      .code(failed.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(verdict + lines.join(''));
  });
}

function addApi(app: FastifyInstance, view: View): void {
  const { state } = view;
  // By weir-api a client knows that it is weir that answers, and not whoever took the port.
  app.addHook('onSend', async (request, reply) => {
    if (request.url.startsWith('/api/')) reply.header('etag', `"${state.tally.epoch()}"`).header('weir-api', 'v1');
  });
  app.get('/api/v1/status', async () => statusOf(view));
  app.get('/api/v1/workers', async () => ({ items: workersOf(state) }));
  app.get('/api/v1/pools', async () => ({ items: (state.plan()?.pools ?? []).map((pool) => poolOf(view, pool)) }));
  app.get<{ Params: { pool: string } }>('/api/v1/pools/:pool', async (request, reply) => {
    const pool = state.plan()?.pools.find(({ name }) => name === request.params.pool);
    return pool === undefined ? problem(reply, 404, 'there is no pool of this name') : poolOf(view, pool);
  });
  app.get('/api/v1/endpoints', async () => ({ items: endpointsOf(view, state.plan()?.pools ?? []) }));
  app.get<{ Params: { pool: string } }>('/api/v1/pools/:pool/endpoints', async (request, reply) => {
    const pool = state.plan()?.pools.find(({ name }) => name === request.params.pool);
    return pool === undefined ? problem(reply, 404, 'there is no pool of this name') : { items: endpointsOf(view, [pool]) };
  });
  app.get<{ Params: { pool: string; endpoint: string } }>('/api/v1/pools/:pool/endpoints/:endpoint', async (request, reply) => {
    const found = findEndpoint(state.plan()?.pools ?? [], request.params);
    if (typeof found === 'string') return problem(reply, 404, found);
    return { pool: found.pool.name, ...endpointOf(view, found.pool, found.endpoint) };
  });
  app.get('/api/v1/listeners', async () => ({ items: listenersOf(state) }));
  app.get('/api/v1/certificates', async () => ({ items: certificatesOf(state, Date.now()) }));
  app.get('/api/v1/routes', async () => ({ items: routesOf(state) }));
  app.get('/api/v1/drains', async () => ({ items: state.drains.list() }));
  app.get<{ Params: { id: string } }>('/api/v1/drains/:id', async (request, reply) => {
    const { id } = request.params;
    return state.drains.find(id) ?? problem(reply, 404, `there is no drain ${id}`);
  });
  app.get('/api/v1/config', async (_request, reply) => {
    const plan = state.plan();
    return plan === null ? problem(reply, 404, 'no configuration is in force yet') : configOf(plan);
  });
}
