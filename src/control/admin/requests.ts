/** /api/v1/requests, /connections and /explain/ID: what the flight recorders of the workers remember. */
import type { FastifyInstance } from 'fastify';
import type { ConnectionFilter, RecordFilter } from '../../state/channel.ts';
import type { ControlState } from './control-state.ts';
import { problem } from './problem.ts';

const LIMIT_DEFAULT = 50;
/** A worker gives no more at once. */
const LIMIT_MAX = 200;

interface Query {
  fault?: string;
  slow?: string;
  open?: string;
  limit?: string;
}

export function addRequests(app: FastifyInstance, state: ControlState): void {
  const { requests } = state;
  app.get<{ Querystring: Query }>('/api/v1/requests', async ({ query }, reply) => {
    const isFault = isSet(query.fault);
    if (isFault && isSet(query.slow)) return problem(reply, 400, 'fault and slow are asked for one at a time');
    const limit = limitOf(query);
    if (limit === null) return problem(reply, 400, `limit is 1 to ${LIMIT_MAX}`);
    const filter: RecordFilter = isFault ? 'fault' : isSet(query.slow) ? 'slow' : 'all';
    return await requests.recent(limit, filter);
  });
  app.get<{ Querystring: Query }>('/api/v1/connections', async ({ query }, reply) => {
    const isFault = isSet(query.fault);
    if (isFault && isSet(query.open)) return problem(reply, 400, 'fault and open are asked for one at a time');
    const limit = limitOf(query);
    if (limit === null) return problem(reply, 400, `limit is 1 to ${LIMIT_MAX}`);
    const filter: ConnectionFilter = isFault ? 'fault' : isSet(query.open) ? 'open' : 'ended';
    return await requests.connections(limit, filter);
  });
  app.get<{ Params: { id: string } }>('/api/v1/requests/:id', async ({ params: { id } }, reply) => {
    const found = await requests.find(id);
    if (typeof found === 'string') return problem(reply, 404, found);
    const { requests: items, since, silent } = found;
    if (items.length === 0) return problem(reply, 404, `the id ${id} is not that of a request, but of a connection`);
    return { items, since: since?.requests ?? null, silent };
  });
  app.get<{ Params: { id: string } }>('/api/v1/explain/:id', async ({ params: { id } }, reply) => {
    const found = await requests.find(id);
    return typeof found === 'string' ? problem(reply, 404, found) : found;
  });
}

/** null: it is none. */
function limitOf({ limit = String(LIMIT_DEFAULT) }: Query): number | null {
  const count = /^\d{1,3}$/.test(limit) ? Number(limit) : 0;
  return count < 1 || count > LIMIT_MAX ? null : count;
}

/** A flag of a query: `?fault` and `?fault=true`. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== 'false';
}
