/** Schema of how an endpoint is chosen. */
import type { HashOnPlan } from '../../state/plan.ts';
import { choice } from './shape.ts';
import { bad, good, type Read } from './units.ts';

export const HASH_ON_EXPECTED =
  'expected one of {client.ip}, {request.path}, {request.uri}, {request.host}, {request.header.NAME}, {request.cookie.NAME} or {request.query.NAME}';

/** All bits of a client's address. */
const WHOLE = { v4Bits: 32, v6Bits: 128 };

/** `hashOn`: one placeholder. */
export function readHashOn(value: string): Read<HashOnPlan> {
  if (value === '{client.ip}') return good({ kind: 'client', name: '', ...WHOLE });
  const found = /^\{request\.(?:(path|uri|host)|(header|cookie|query)\.([!#$%&'*+.^_`|~0-9A-Za-z-]+))\}$/.exec(value);
  if (found === null) return bad(HASH_ON_EXPECTED);
  if (found[1] !== undefined) return good({ kind: found[1] as HashOnPlan['kind'], name: '', ...WHOLE });
  const kind = found[2] as 'header' | 'cookie' | 'query';
  return good({ kind, name: kind === 'header' ? found[3]!.toLowerCase() : found[3]!, ...WHOLE });
}

/** Words for ways to choose an endpoint, with what other programs call them. */
export const algorithms = [
  'round-robin',
  'random',
  'power-of-two',
  'least-requests',
  'least-time',
  'first',
  'source',
  'ring-hash',
  'maglev',
  'rendezvous',
] as const;
export const algorithm = choice('How an endpoint is chosen. Default power-of-two.', algorithms, {
  notYet: ['zone'],
  foreign: {
    leastconn: 'least-requests',
    least_conn: 'least-requests',
    'least-conn': 'least-requests',
    'least-connections': 'least-requests',
    least_connections: 'least-requests',
    leastrequest: 'least-requests',
    least_request: 'least-requests',
    wlc: 'least-requests',
    rr: 'round-robin',
    wrr: 'round-robin',
    roundrobin: 'round-robin',
    round_robin: 'round-robin',
    weighted_round_robin: 'round-robin',
    'static-rr': 'round-robin',
    p2c: 'power-of-two',
    'power-of-two-choices': 'power-of-two',
    'random(2)': 'power-of-two',
    random_choose: 'power-of-two',
    rand: 'random',
    failover: 'first',
    ip_hash: 'source',
    'ip-hash': 'source',
    consistent: 'maglev',
    hash: 'maglev',
    ketama: 'ring-hash',
    ring: 'ring-hash',
    hrw: 'rendezvous',
    least_time: 'least-time',
    leasttime: 'least-time',
    'peak-ewma': 'least-time',
    peak_ewma: 'least-time',
    uri: 'maglev',
    ewma: 'least-time',
  },
});
