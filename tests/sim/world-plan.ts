/** What a world is made of: its options, and the plan they make. */
import { type Address, addressText } from '../../src/base/wire.ts';
import { plainListener, plainPlan, plainPool } from '../../src/state/plain-pool.ts';
import type { BreakerPlan, ListenerLimitsPlan, Plan, PoolPlan, RetryPlan, StickyPlan } from '../../src/state/plan.ts';
import type { ControlDoor } from '../../src/state/table.ts';
import type { Behaviour, Manners } from './world.ts';

export const QUEUE_MAX = 1024;

const cookie: StickyPlan = {
  name: 'bound',
  ttlS: 0,
  path: '/',
  domain: null,
  sameSite: 'lax',
  secure: false,
  httpOnly: true,
  key: 'c2VjcmV0IG9mIHRoZSB3b3JsZA',
};

export const limits: ListenerLimitsPlan = {
  headBytesMax: 32 * 1024,
  fieldBytesMax: 16 * 1024,
  fieldsMax: 100,
  targetBytesMax: 8 * 1024,
  bodyBytesMax: 0,
  chunkExtensionBytesMax: 4096,
  connectionsMax: 0,
  connectionsPerIpMax: 0,
  requestsPerConnectionMax: 10_000,
  bufferBytesMax: 64 * 1024,
  pipelineMax: 8,
  rateBytesMin: 240,
  rateGraceMs: 10_000,
  underscores: 'drop',
};

/** Where weir listens in the world. */
export const WEB: Address = { kind: 'ip', host: '10.0.0.1', port: 80 };

export interface WorldOptions {
  seed: number;
  endpoints?: number;
  behaviour?: Partial<Behaviour>;
  retry?: Partial<RetryPlan>;
  bodyBytesMax?: number;
  kernelBytesMax?: number;
  splitting?: 'whole' | 'random' | 'single';
  wiresMax?: number;
  /** Requests in flight per endpoint, and who may wait for how long when all have as many. */
  requestsMax?: number;
  queueMax?: number;
  queueMs?: number;
  /** Clients are bound to endpoints by a cookie. */
  sticky?: boolean;
  breaker?: BreakerPlan;
  /** Endpoints of a second pool that takes what the first cannot. */
  fallback?: number;
  /** Endpoints go down, drain and come back all the time. */
  flaps?: boolean;
  manners?: Partial<Manners>;
  /** Endpoints that refuse every connection, and ones that never answer a dial, besides the others. */
  refusing?: number;
  deaf?: number;
  /** Dials, sends, accepts and takes of blocks fail now and then, and connections break in the middle. */
  sabotage?: boolean;
  /** New plans come into force while requests are under way, each with some of the working endpoints. */
  reloads?: boolean;
  limits?: Partial<ListenerLimitsPlan>;
  trust?: Plan['listeners'][number]['clientIp']['trust'];
  timeouts?: Partial<Plan['routes'][number]['timeouts']>;
  /** Version of the PROXY line that tells endpoints who the client is; with `reloads` every other plan has none. Default 0: none. */
  lineVersion?: 0 | 1 | 2;
  /** Wires opened ahead. */
  warm?: number;
  /** Clients also send several requests at once. Default true. */
  pipelines?: boolean;
}

function poolOf(control: ControlDoor, name: string, addresses: Address[], options: WorldOptions): PoolPlan {
  return {
    id: control.claimId('pool', name),
    name,
    source: 'sim',
    endpoints: addresses.map((address) => ({
      slot: control.claimSlot(name, addressText(address)),
      address: addressText(address),
      resolved: address,
      weight: 1,
      backup: false,
      zone: null,
      requestsMax: options.requestsMax ?? 0,
    })),
    ...plainPool,
    proxyProtocol: options.lineVersion ?? 0,
    connections: {
      idleMax: 16,
      idleMs: 50_000,
      wiresMax: options.wiresMax ?? 0,
      warm: options.warm ?? 0,
      requestsMax: 0,
      queueMax: options.queueMax ?? QUEUE_MAX,
      queueMs: options.queueMs ?? 60_000,
    },
    sticky: options.sticky === true ? cookie : null,
    breaker: options.breaker ?? null,
  };
}

/** The plan of a world: one listener, one route, one pool, and its fallback when there are spares. */
export function planOf(control: ControlDoor, addresses: Address[], spares: Address[], options: WorldOptions): Plan {
  const pools = [poolOf(control, 'web', addresses, options)];
  if (spares.length > 0) {
    pools[0]!.fallback = 1;
    pools.push(poolOf(control, 'spare', spares, { seed: options.seed, lineVersion: options.lineVersion ?? 0 }));
  }
  return {
    ...plainPlan,
    epoch: 1,
    node: 'sim',
    listeners: [
      {
        id: control.claimId('listener', 'web'),
        name: 'web',
        addresses: [WEB],
        ...plainListener,
        to: null,
        redirectToHttps: false,
        clientIp: { trust: options.trust ?? [], header: 'x-forwarded-for' },
        limits: { ...limits, ...options.limits },
        timeouts: { headerMs: 10_000, idleMs: 60_000, bodyMs: 30_000 },
      },
    ],
    pools,
    routes: [
      {
        id: control.claimId('route', 'all'),
        name: 'all',
        source: 'sim',
        listeners: null,
        match: { host: null, path: { kind: 'any' }, methods: null, headers: [], query: [], clients: null },
        action: { kind: 'forward', pools: [{ pool: 0, weight: 1 }] },
        priority: 0,
        filters: [],
        rewrite: null,
        timeouts: { connectMs: 1000, responseMs: 30_000, idleMs: 60_000, tunnelMs: 3_600_000, requestMs: 0, ...options.timeouts },
        retry: {
          attempts: 2,
          on: ['connect', 'reset'],
          budget: 0.2,
          budgetMin: 3,
          perTryMs: 0,
          hedgeMs: 0,
          backoffMs: 25,
          backoffMaxMs: 250,
          ...options.retry,
        },
        urgency: 3,
        upgrade: ['websocket'],
      },
    ],
    headers: { ...plainPlan.headers, requestId: 'x-request-id' },
  };
}
