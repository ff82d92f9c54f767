/**
 * Troubles: what is wrong now, the worst first, each with what to do about it. Made of the rows that the API shows, so that nobody has to
 * look at two places that say different things.
 */

import { countOf, leftText } from '../../base/counts.ts';
import { fault, faults } from '../../base/faults.ts';
import type { EndpointRow, PoolRow } from './api.ts';
import { certificateTroubles } from './certificates.ts';
import type { ControlState } from './control-state.ts';
import type { DrainRow } from './drains.ts';

export interface Trouble {
  /** error: requests fail or soon will. warning: less is left than there should be. info: somebody wanted it so. */
  severity: 'error' | 'warning' | 'info';
  /** null: it is not about one pool, or not about one endpoint of it. */
  pool: string | null;
  endpoint: string | null;
  /** State of an endpoint, or one word for what is wrong. */
  state: string;
  /** RFC 3339; null: not known. */
  since: string | null;
  reason: string | null;
  evidence: readonly string[];
  /** What to do. */
  advice: string;
}

/** What a pool carries, one of it, and what becomes of it when nobody takes it. */
const carried = Object.freeze({
  http: { one: 'request', refused: 'answered 503' },
  tcp: { one: 'connection', refused: 'reset' },
  udp: { one: 'datagram', refused: 'dropped' },
});

/** 0..100: how much of the traffic suffers, roughly; only good for sorting. */
type Ranked = Trouble & { impact: number };

export function troublesOf(state: ControlState, pools: readonly PoolRow[]): Trouble[] {
  const certificates = certificateTroubles(state.plan()?.certificates ?? [], Date.now());
  const ranked: Ranked[] = [...ofWorkers(state), ...ofReloads(state), ...ofHandshakes(state), ...certificates];
  const drains = new Map(state.drains.list().map((drain) => [drain.id, drain]));
  for (const pool of pools) {
    ranked.push(...ofPool(pool));
    let whole = 0;
    for (const { weight, isBackup } of pool.endpoints) if (!isBackup) whole += weight;
    for (const endpoint of pool.endpoints) {
      // Backups count little: they get nothing while others can.
      const share = endpoint.isBackup || whole === 0 ? 0 : endpoint.weight / whole;
      ranked.push(...ofEndpoint(drains, pool.name, endpoint, share));
    }
  }
  return ranked.sort((a, b) => b.impact - a.impact).map(({ impact: _impact, ...trouble }) => trouble);
}

const nothing = { pool: null, endpoint: null, since: null, reason: null, evidence: [] } as const;

function ofWorkers(state: ControlState): Ranked[] {
  const workers = state.workers();
  const serving = workers.filter((worker) => worker.state === 'serving').length;
  if (serving === workers.length) return [];
  const advice =
    serving === 0
      ? 'see the log for worker_died'
      : 'it is started again by itself; if it keeps dying, see the log for worker_died';
  const reason = `${serving} of ${workers.length} workers serve`;
  return serving === 0
    ? [{ ...nothing, severity: 'error', state: 'no-workers', reason, advice, impact: 100 }]
    : [{ ...nothing, severity: 'warning', state: 'workers', reason, advice, impact: 40 }];
}

function ofReloads(state: ControlState): Ranked[] {
  const { isLastOk, lastOkAt } = state.reloads();
  if (isLastOk) return [];
  const since = lastOkAt > 0 ? `; what is in force is of ${new Date(lastOkAt).toISOString()}` : '';
  const reason = `the configuration that was last loaded is not in force${since}`;
  const advice = 'weir check tells what is wrong with it; then reload';
  return [{ ...nothing, severity: 'warning', state: 'reload', reason, advice, impact: 50 }];
}

function ofHandshakes({ headroom }: ControlState): Ranked[] {
  return headroom.handshakes
    .filter(({ turnedAway }) => turnedAway > 0)
    .map(({ listener, turnedAway, used, of }) => ({
      ...nothing,
      severity: 'error',
      state: 'handshakes',
      reason: `listener ${listener} turned ${countOf(turnedAway, 'TLS handshake')} away in the last 5 s`,
      evidence: [`${used} of ${of} are under way`],
      advice: 'if few addresses hold them, lower limits.connectionsPerIp; else raise limits.handshakes, or add workers',
      impact: 75,
    }));
}

function ofPool(pool: PoolRow): Ranked[] {
  const found: Ranked[] = [];
  const add = (impact: number, severity: Trouble['severity'], word: string, reason: string, advice: string): void => {
    found.push({ ...nothing, severity, pool: pool.name, state: word, reason, advice, impact });
  };
  const { lately, fallback, queue, endpoints } = pool;
  const { one, refused } = carried[pool.protocol];
  const lately10 = 'in the last 10 s';
  if (pool.isPanicking)
    add(
      95,
      'error',
      'panic',
      `only ${pool.takesRequests} of ${endpoints.length} endpoints are fit, so all get ${one}s whatever their health`,
      'bring endpoints back, or lower panicThreshold if failing at once is better than trying',
    );
  else if (pool.takesRequests === 0 && endpoints.length > 0) {
    if (fallback === null)
      add(100, 'error', 'no-endpoint', `no endpoint takes ${one}s: they are ${refused}`, 'bring one back: the reasons are below');
    else
      add(
        60,
        'warning',
        'no-endpoint',
        `no endpoint takes ${one}s: ${fallback.pool} ${pool.protocol === 'http' ? 'answers' : 'gets'} them`,
        'bring one back: the reasons are below',
      );
  }
  if (lately.breakerRefused > 0)
    add(
      85,
      'error',
      'breaker',
      `the circuit breaker refused ${countOf(lately.breakerRefused, one)} ${lately10}`,
      `weir get pools ${pool.name} -o wide shows which limit; add endpoints, or raise it if they can take more`,
    );
  if (lately.queueTimeouts > 0)
    add(
      80,
      'error',
      'queue',
      `${countOf(lately.queueTimeouts, one)} waited too long for an endpoint ${lately10}`,
      'its endpoints are at their limits: add some, or raise maxConnections if they can take more',
    );
  if (lately.budgetExhausted > 0)
    add(
      70,
      'error',
      'retries',
      `the budget forbade ${lately.budgetExhausted} retries ${lately10}`,
      'too many tries fail: look for the endpoint behind it in weir_endpoint_requests_total',
    );
  if (lately.stickyLost > 0)
    add(
      30,
      'warning',
      'sticky',
      `${countOf(lately.stickyLost, 'request')} came with a cookie of an endpoint that is gone ${lately10}`,
      'nothing, if endpoints were removed; else compare the secret of sticky on all nodes',
    );
  if (queue.length > 0 && lately.queueTimeouts === 0)
    add(
      25,
      'warning',
      'queue',
      `${countOf(queue.length, one)} waiting for an endpoint`,
      'its endpoints are at their limits: add some if it lasts',
    );
  return found;
}

/** `share`, 0..1: what it has of its pool's configured weight. */
function ofEndpoint(drains: ReadonlyMap<string, DrainRow>, pool: string, endpoint: EndpointRow, share: number): Ranked[] {
  const { status, address, drain } = endpoint;
  const its = { pool, endpoint: address, ...status };
  const name = `${pool}/${address}`;
  switch (status.state) {
    case 'down': {
      const isCutOff = status.reason?.startsWith(faults[fault.unroutable]!.reason) === true;
      const where = isCutOff
        ? "look at this machine's addresses and routes, then at the endpoint"
        : 'look at the endpoint itself';
      const advice = `${where}; weir maint ${name} says that it is known`;
      return [{ ...its, severity: 'warning', advice, impact: 30 + 30 * share }];
    }
    case 'ejected': {
      const returnsAt = endpoint.ejection?.returnsAt ?? null;
      const when = returnsAt === null ? 'it is tried again by itself' : `it is tried again at ${returnsAt}`;
      if (endpoint.ejection?.cause === 'operator') return [{ ...its, severity: 'info', advice: when, impact: 10 * share }];
      return [
        { ...its, severity: 'warning', advice: `${when}; look at the endpoint's own log meanwhile`, impact: 30 + 30 * share },
      ];
    }
    case 'drain': {
      const row = drain === null ? undefined : drains.get(drain);
      if (row?.state !== 'overdue')
        return [{ ...its, severity: 'info', advice: `weir ready ${name} takes it back`, impact: 10 * share }];
      const advice = `stopping it cuts ${leftText(row.remaining)}; weir drain ${name} --timeout gives it more time`;
      return [{ ...its, severity: 'warning', state: 'overdue', advice, impact: 25 }];
    }
    case 'maint':
      return [{ ...its, severity: 'info', advice: `weir ready ${name} takes it back`, impact: 10 * share }];
    default:
      return [];
  }
}
