/** Schema of how an endpoint is chosen. */
import { z } from 'zod';
import type { HashOnPlan } from '../../state/plan.ts';
import { percent } from './leaves.ts';
import { choice, count, either, noted, shape, text, yes } from './shape.ts';
import { bad, good, type Read } from './units.ts';

const HASH_ON_EXPECTED =
  'expected one of {client.ip}, {request.path}, {request.uri}, {request.host}, {request.header.NAME}, {request.cookie.NAME} or {request.query.NAME}';

/** All bits of a client's address: `mask` says otherwise. */
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
const algorithm = choice('How an endpoint is chosen. Default power-of-two.', algorithms, {
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
    zone: '{ zone: { prefer: true } }',
    locality: '{ zone: { prefer: true } }',
    sticky: 'the key sticky of the pool',
    cookie: 'the key sticky of the pool',
  },
});

export const balance = either(
  'How an endpoint is chosen. Short form: the algorithm.',
  'expected the name of an algorithm, for example round-robin',
  [
    algorithm,
    shape(
      'How an endpoint is chosen.',
      {
        algorithm: algorithm.optional(),
        hashOn: text(
          'What ring-hash, maglev and rendezvous place a request by. Default {client.ip}.',
          HASH_ON_EXPECTED,
          readHashOn,
          { examples: ['{request.header.x-user}', '{request.cookie.session}', '{request.query.id}', '{request.path}'] },
        ).optional(),
        mask: shape(
          'Leading bits of a client address that count when requests are placed by it: neighbours share an endpoint.',
          {
            v4: count('Of an IPv4 address. Default 32; 24 is a usual network.', 1, 32).optional(),
            v6: count('Of an IPv6 address. Default 128; 64 is one network.', 1, 128).optional(),
          },
          { foreign: { ipv4: 'v4', ipv6: 'v6', ip4: 'v4', ip6: 'v6', netmask: 'v4' } },
        ).optional(),
        boundedLoad: noted(
          z
            .number()
            .gt(1)
            .max(100)
            .describe(
              'Hashing policies: no endpoint takes more than this many times its fair share. Default: no bound; 1.25 to 1.5 are typical.',
            ),
          { expected: 'expected a number above 1, for example 1.25' },
        ).optional(),
        zone: either("Endpoints of this node's zone first; true: with the defaults.", 'expected true, false or a map', [
          yes('With the defaults, or not at all.'),
          shape(
            "Endpoints of this node's zone first.",
            {
              prefer: yes('Default true.').optional(),
              spillAt: percent(
                'Requests leave the zone when its endpoints are used to this share of their maxConnections, and in proportion when less than this share of its weight is ready. Default 80%.',
              ).optional(),
            },
            { foreign: { spill: 'spillAt', threshold: 'spillAt', min_cluster_size: 'spillAt', enabled: 'prefer' } },
          ),
        ]).optional(),
        subset: count(
          'Endpoints of a large pool that this node uses, chosen by its name; those that are not ready are replaced. 0: all. Default 0.',
          0,
          100_000,
        ).optional(),
      },
      {
        notYet: ['tableSize', 'decay'],
        foreign: {
          hash: 'hashOn',
          key: 'hashOn',
          hash_key: 'hashOn',
          hash_policy: 'hashOn',
          netmask: 'mask',
          'hash-balance-factor': 'boundedLoad',
          hash_balance_factor: 'boundedLoad',
          balance_factor: 'boundedLoad',
          zones: 'zone',
          locality: 'zone',
          zoneAware: 'zone',
          aperture: 'subset',
          subset_size: 'subset',
        },
      },
    ),
  ],
);
