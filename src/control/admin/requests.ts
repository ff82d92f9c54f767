/** /api/v1/requests: what the flight recorders of the workers remember. */
import type { FastifyInstance } from 'fastify';
import type { RecordFilter } from '../../state/channel.ts';
import type { ControlState } from './control-state.ts';
import { problem } from './problem.ts';

const LIMIT_DEFAULT = 50;
/** A worker gives no more at once. */
const LIMIT_MAX = 200;

interface Query {
  fault?: string;
  slow?: string;
  limit?: string;
}

export function addRequests(app: FastifyInstance, state: ControlState): void {
  app.get<{ Querystring: Query }>('/api/v1/requests', async (request, reply) => {
    const { fault, slow, limit = String(LIMIT_DEFAULT) } = request.query;
    const isFault = isSet(fault);
    if (isFault && isSet(slow)) return problem(reply, 400, 'fault and slow are asked for one at a time');
    const count = /^\d{1,3}$/.test(limit) ? Number(limit) : 0;
    if (count < 1 || count > LIMIT_MAX) return problem(reply, 400, `limit is 1 to ${LIMIT_MAX}`);
    const filter: RecordFilter = isFault ? 'fault' : isSet(slow) ? 'slow' : 'all';
    return await state.requests.recent(count, filter);
  });
  app.get<{ Params: { id: string } }>('/api/v1/requests/:id', async (request, reply) => {
    const found = await state.requests.find(request.params.id);
    return typeof found === 'string' ? problem(reply, 404, found) : found;
  });
}

/** A flag of a query: `?fault` and `?fault=true`. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== 'false';
}
