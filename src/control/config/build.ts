/**
 * Build: a config that was found correct, as a plan. Every default is filled in here and nowhere else.
 */
import type { Address } from '../../base/wire.ts';
import type {
  AccessLogPlan,
  CertificatePlan,
  HeadersPlan,
  ListenerPlan,
  Plan,
  PoolPlan,
  RoutePlan,
  TargetPlan,
} from '../../state/plan.ts';
import { readListen } from './address.ts';
import { buildPool } from './build-pool.ts';
import { buildRoute, defaultRoute } from './build-route.ts';
import { buildStreams, buildUdp, streamsOf } from './build-stream.ts';
import { buildTls } from './build-tls.ts';
import type { ReadCertificate } from './certificates.ts';
import { type Kinds, type PoolKind, streamKind } from './kinds.ts';
import { sortRoutes } from './precedence.ts';
import type { WrittenStream } from './precedence-stream.ts';
import { type Config, type ListenerConfig, readAlways } from './schema.ts';
import { readByteRate, readPercent } from './units.ts';
import { bytes, listOf, ms, must, rangesOf } from './values.ts';

/** What a config says of the program rather than of the traffic; it takes effect at the start. */
export interface ProcessSettings {
  /** Worker processes, `auto` resolved. */
  workers: number;
  engine: 'auto' | 'uring' | 'epoll';
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** No admin address was written: when the default one is taken, go on without. */
  adminIsDefault: boolean;
}

export interface BuildOptions {
  /** Name of the node when the config gives none. */
  node: string;
  /** Workers when the config says auto; `workers` of the command line wins over both. */
  cores: number;
  workers?: number;
  /** Key of sticky cookies that have no secret of their own. */
  secret: Uint8Array;
  /** Certificates (PEM) that the checks of a pool trust, by the name of the pool. */
  authorities: ReadonlyMap<string, string>;
  certificates: ReadonlyMap<string, ReadCertificate>;
  kinds: Kinds;
  /** "weir.yaml:83" of what stands at a path. */
  sourceOf: (path: readonly string[]) => string;
}

/** Client connections over all workers: above the usual descriptor limit of a service is no use. */
const CONNECTIONS_MAX = 60_000;
const ADMIN_DEFAULT: Address = { kind: 'ip', host: '127.0.0.1', port: 9900 };
const REDACT_DEFAULT = ['token', 'access_token', 'password', 'secret', 'api_key'];

export interface Built {
  plan: Plan;
  process: ProcessSettings;
  /** Index in config.routes of each route that was written there. */
  origins: ReadonlyMap<RoutePlan, number>;
  /** What was written of the streams of each listener, by its index. */
  streams: readonly (readonly WrittenStream[])[];
}

export function buildPlan(config: Config, options: BuildOptions): Built {
  const settings = config.process ?? {};
  const workers = options.workers ?? (typeof settings.workers === 'number' ? settings.workers : options.cores);
  const names = Object.keys(config.pools ?? {});
  const pools: PoolPlan[] = Object.entries(config.pools ?? {}).map(([name, pool]) =>
    buildPool(name, pool, {
      source: options.sourceOf(['pools', name]),
      names,
      secret: options.secret,
      ca: options.authorities.get(name) ?? null,
      kind: options.kinds.pools.get(name)!,
    }),
  );
  const builder = new Builder(config, options, pools);
  const listeners = Object.entries(config.listeners).map(([name, listener]) => builder.listener(name, listener));
  const { routes, streams } = builder.routes(listeners);
  const drain = settings.drain ?? {};
  const adminListen = config.admin?.listen;
  const plan: Plan = {
    epoch: 0,
    node: config.name ?? options.node,
    zone: config.zone ?? null,
    certificates: builder.certificates,
    listeners,
    pools,
    routes,
    headers: headersOf(config),
    access: accessOf(config),
    drain: {
      notReadyForMs: ms(drain.notReadyFor, 0),
      gracefulMs: ms(drain.graceful, 30_000),
      hardStopMs: ms(drain.hardStop, 600_000),
    },
    admin: { listen: adminListen === undefined ? [ADMIN_DEFAULT] : listOf(adminListen).map((text) => must(readListen(text))) },
    limits: { connectionsMax: Math.max(1, Math.floor((settings.connections ?? CONNECTIONS_MAX) / workers)) },
  };
  return {
    plan,
    process: {
      workers,
      engine: settings.engine ?? 'auto',
      logLevel: config.logs?.level ?? 'info',
      adminIsDefault: adminListen === undefined,
    },
    origins: builder.origins,
    streams,
  };
}

/** Holds what listeners and routes share while they are built: pools that have no name of their own are added to `pools`. */
export class Builder {
  readonly config: Config;
  readonly options: BuildOptions;
  readonly pools: PoolPlan[];
  readonly listenerNames: readonly string[];
  readonly kinds: Kinds;
  /** Those that listeners name, each once. */
  readonly certificates: CertificatePlan[] = [];
  readonly origins = new Map<RoutePlan, number>();

  constructor(config: Config, options: BuildOptions, pools: PoolPlan[]) {
    this.config = config;
    this.options = options;
    this.pools = pools;
    this.listenerNames = Object.keys(config.listeners);
    this.kinds = options.kinds;
  }

  listener(name: string, listener: ListenerConfig): ListenerPlan {
    const limits = listener.limits ?? {};
    const timeouts = { ...this.config.defaults?.timeouts, ...listener.timeouts };
    const protocol = this.kinds.listeners.get(name)!;
    return {
      id: -1,
      name,
      addresses: listOf(listener.listen).map(listenAddress),
      protocol,
      streams: [],
      sniffMs: ms(listener.sniffTimeout, 5000),
      tls: buildTls(listener, protocol, this),
      proxyProtocol:
        listener.proxyProtocol === undefined
          ? null
          : { isRequired: listener.proxyProtocol.accept !== 'optional', from: rangesOf(listener.proxyProtocol.from) },
      udp: buildUdp(protocol, listener.udp),
      to:
        listener.to === undefined
          ? null
          : this.target(
              listener.to,
              `listener/${name}`,
              this.options.sourceOf(['listeners', name]),
              protocol === 'http' ? 'http' : streamKind(protocol),
            ),
      redirectToHttps: listener.redirectToHttps ?? false,
      clientIp: {
        trust: rangesOf(listener.clientIp?.trust),
        header: (listener.clientIp?.header ?? 'x-forwarded-for').toLowerCase(),
      },
      limits: {
        headBytesMax: bytes(limits.headerSize, 32 * 1024),
        fieldBytesMax: Math.min(bytes(limits.fieldSize, 16 * 1024), bytes(limits.headerSize, 32 * 1024)),
        fieldsMax: limits.fields ?? 100,
        targetBytesMax: Math.min(bytes(limits.targetSize, 8 * 1024), bytes(limits.headerSize, 32 * 1024)),
        bodyBytesMax: bytes(limits.bodySize, 0),
        chunkExtensionBytesMax: bytes(limits.chunkExtensions, 4 * 1024),
        connectionsMax: limits.connections ?? 0,
        connectionsPerIpMax: limits.connectionsPerIp ?? 256,
        requestsPerConnectionMax: limits.requestsPerConnection ?? 10_000,
        bufferBytesMax: bytes(limits.bufferSize, 256 * 1024),
        pipelineMax: limits.pipeline ?? 8,
        rateBytesMin: limits.minRate === undefined ? 240 : must(readByteRate(limits.minRate)),
        rateGraceMs: ms(limits.minRateAfter, 10_000),
        underscores: listener.underscores ?? 'drop',
      },
      timeouts: { headerMs: ms(timeouts.header, 10_000), idleMs: ms(timeouts.idle, 60_000), bodyMs: ms(timeouts.body, 30_000) },
    };
  }

  /** Routes in the order they are asked, the `to` of each listener last; those of connections are put into their listeners. */
  routes(listeners: readonly ListenerPlan[]): { routes: RoutePlan[]; streams: WrittenStream[][] } {
    const names = new Set<string>();
    const written: RoutePlan[] = [];
    const lists = new Map(listeners.map(({ name }) => [name, [] as WrittenStream[]]));
    (this.config.routes ?? []).forEach((route, i) => {
      if (this.kinds.routes[i].isStream) {
        buildStreams(route, i, this, names, lists);
        return;
      }
      for (const plan of buildRoute(route, i, this, names)) {
        this.origins.set(plan, i);
        written.push(plan);
      }
    });
    const rest: RoutePlan[] = [];
    listeners.forEach((listener, index) => {
      if (listener.protocol !== 'http') listener.streams = streamsOf(listener, listener.to, lists.get(listener.name)!, this);
      else if (listener.to !== null) rest.push(defaultRoute(listener, index, this));
    });
    return { routes: [...sortRoutes(written), ...rest], streams: [...lists.values()] };
  }

  /** What `to:` means, as pools by index; `name` is for the pool that addresses make. */
  target(to: NonNullable<ListenerConfig['to']>, name: string, source: string, kind: PoolKind): TargetPlan {
    if (typeof to === 'object' && !Array.isArray(to)) {
      return { pools: Object.entries(to).map(([pool, weight]) => ({ pool: this.poolIndex(pool), weight })) };
    }
    if (typeof to === 'string') {
      const known = this.poolIndex(to);
      if (known >= 0) return { pools: [{ pool: known, weight: 1 }] };
    }
    const around = { source, names: [], secret: this.options.secret, ca: null, kind };
    this.pools.push(buildPool(name, { endpoints: listOf(to) }, around));
    return { pools: [{ pool: this.pools.length - 1, weight: 1 }] };
  }

  /** Index of a certificate in the plan. */
  certificateIndex(name: string): number {
    const known = this.certificates.findIndex((certificate) => certificate.name === name);
    return known >= 0 ? known : this.certificates.push(this.options.certificates.get(name)!.plan) - 1;
  }

  poolIndex(name: string): number {
    return this.pools.findIndex((pool) => pool.name === name);
  }
}

function listenAddress(text: string): Address {
  return must(readListen(text));
}

function headersOf(config: Config): HeadersPlan {
  const headers = config.headers ?? {};
  const forwarded = headers.forwarded ?? 'x-forwarded';
  const via = headers.via ?? 'none';
  return {
    xForwarded: forwarded === 'x-forwarded' || forwarded === 'both',
    forwarded: forwarded === 'rfc7239' || forwarded === 'both',
    requestId: headers.requestId === false ? null : (headers.requestId ?? 'x-request-id').toLowerCase(),
    via: { request: via === 'request' || via === 'both', response: via === 'response' || via === 'both' },
    proxyStatus: headers.proxyStatus ?? 'errors',
    cdnLoop: headers.cdnLoop ?? true,
    serverTiming: headers.serverTiming ?? false,
  };
}

function accessOf(config: Config): AccessLogPlan | null {
  const written = config.logs?.access;
  if (written === undefined || written === false || written === 'off') return null;
  const access = typeof written === 'string' ? { to: written } : written;
  if (access.to === 'off') return null;
  const slow = listOf(access.sample?.always ?? ['slow>1s'])
    .map((text) => must(readAlways(text)))
    .filter((value) => value > 0);
  return {
    to: access.to ?? 'stdout',
    format: access.format ?? 'json',
    redactQuery:
      access.redact === undefined
        ? REDACT_DEFAULT
        : listOf(access.redact).map((text) => text.slice('query.'.length).toLowerCase()),
    sampleOk: access.sample?.ok === undefined ? 1 : must(readPercent(access.sample.ok)),
    slowMs: slow.length > 0 ? Math.min(...slow) : 0,
  };
}
