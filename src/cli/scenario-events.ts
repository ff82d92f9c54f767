/** The events of a scenario file made into events of a scenario. One that lasts for some time becomes two: it begins, and it is over. */
import { document } from '../control/config/config.ts';
import type { ScenarioEvent } from '../lab/lab.ts';
import type { EndpointPlan, PoolPlan } from '../state/plan.ts';
import type { EventFile } from './scenario-schema.ts';
import { ms, must } from './scenario-values.ts';

const FLAP_MS = 10_000;
/** Deaths of one flapping endpoint. */
const FLAPS_MAX = 10_000;

/** Events about one endpoint. */
const kinds = ['kill', 'restore', 'add', 'remove', 'drain', 'slow', 'fail', 'hang', 'flap'] as const;
type Kind = (typeof kinds)[number];
/** Keys that belong to some events only. `slow` cannot do without `by`. */
const companions = {
  by: ['slow'],
  weight: ['add'],
  errors: ['fail'],
  status: ['fail'],
  checks: ['fail', 'hang'],
  every: ['flap'],
  for: ['surge', 'slow', 'fail', 'hang', 'flap'],
} as const satisfies Partial<Record<keyof EventFile, readonly (Kind | 'surge')[]>>;

/** Tells a fault at this place below `simulate`. */
export type FaultAt = (at: readonly string[], message: string, help?: string) => void;

export function eventsOf(written: readonly EventFile[], pool: PoolPlan, durationMs: number, fault: FaultAt): ScenarioEvent[] {
  const known = new Set(pool.endpoints.map((endpoint) => endpoint.address));
  for (const { add } of written) if (add !== undefined) known.add(addressOf(add, pool.name) ?? '');
  return written.flatMap((event, i) => eventOf(event, ['events', String(i)], pool, known, durationMs, fault));
}

function eventOf(
  event: EventFile,
  at: string[],
  pool: PoolPlan,
  known: ReadonlySet<string>,
  durationMs: number,
  fault: FaultAt,
): ScenarioEvent[] {
  const named: (Kind | 'surge')[] = ([...kinds, 'surge'] as const).filter((kind) => event[kind] !== undefined);
  const kind = named[0];
  if (kind === undefined || named.length > 1) {
    fault(at, `an event needs exactly one of ${kinds.join(', ')} and surge`);
    return [];
  }
  const atMs = ms(event.at, Math.floor(durationMs / 2));
  if (atMs >= durationMs) fault([...at, 'at'], 'this is after the end of the scenario');
  for (const [key, those] of Object.entries(companions)) {
    const isMeant = (those as readonly string[]).includes(kind);
    if (event[key as keyof EventFile] !== undefined && !isMeant) fault([...at, key], `${key} goes with ${those.join(', ')}`);
  }
  const untilMs = event.for === undefined ? Number.POSITIVE_INFINITY : atMs + ms(event.for, 0);
  if (kind === 'surge') return [{ atMs, kind, times: event.surge!, forMs: Math.min(untilMs, durationMs) - atMs }];
  const address = addressOf(event[kind]!, pool.name);
  if (address === null || !known.has(address)) {
    const first = pool.endpoints[0]?.address ?? '';
    fault(
      [...at, kind],
      `there is no endpoint ${event[kind]} in pool ${pool.name}`,
      `endpoints are written ${pool.name}/${first}`,
    );
    return [];
  }
  /** What ends at `untilMs`. */
  const lasting = (begin: ScenarioEvent, end: ScenarioEvent): ScenarioEvent[] =>
    untilMs === Number.POSITIVE_INFINITY ? [begin] : [begin, { ...end, atMs: untilMs }];
  const doChecksPass = event.checks !== 'fail';
  switch (kind) {
    case 'add':
      if (pool.endpoints.some((endpoint) => endpoint.address === address))
        fault([...at, kind], `${event.add} is there from the start`);
      return [{ atMs, kind, endpoint: added(address, event.weight ?? 1) }];
    case 'slow': {
      if (event.by === undefined) fault(at, 'slow needs by');
      const slow = { atMs, kind, address, times: event.by ?? 1 };
      return lasting(slow, { ...slow, times: 1 });
    }
    case 'fail': {
      const share = event.errors === undefined ? 1 : must(document.readPercent(event.errors));
      const fail = { atMs, kind, address, share, status: event.status ?? 500, doChecksPass };
      return lasting(fail, { ...fail, share: 0, doChecksPass: true });
    }
    case 'hang':
      return lasting(
        { atMs, kind, address, isHanging: true, doChecksPass },
        { atMs, kind, address, isHanging: false, doChecksPass: true },
      );
    case 'flap':
      return flapping(address, atMs, Math.min(untilMs, durationMs), ms(event.every, FLAP_MS), () =>
        fault([...at, 'every'], `it would die more than ${FLAPS_MAX} times`),
      );
    default:
      return [{ atMs, kind, address }];
  }
}

function flapping(address: string, fromMs: number, untilMs: number, everyMs: number, tooMany: () => void): ScenarioEvent[] {
  const deaths = Math.ceil((untilMs - fromMs) / everyMs);
  if (deaths > FLAPS_MAX) {
    tooMany();
    return [];
  }
  return Array.from({ length: deaths }, (_, i) => fromMs + i * everyMs).flatMap((atMs): ScenarioEvent[] => [
    { atMs, kind: 'kill', address },
    { atMs: Math.min(untilMs, atMs + everyMs / 2), kind: 'restore', address },
  ]);
}

/** Address of "web/10.0.0.1:8080" when it is of this pool. */
function addressOf(name: string, pool: string): string | null {
  return name.startsWith(`${pool}/`) ? name.slice(pool.length + 1) : null;
}

function added(address: string, weight: number): EndpointPlan {
  return { slot: -1, address, resolved: null, weight, backup: false, zone: null, requestsMax: 0 };
}
