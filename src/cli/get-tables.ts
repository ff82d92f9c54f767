/** Tables of listeners, certificates, pools, endpoints and drains, for `weir get` and `weir status`. */
import { leftText } from '../base/counts.ts';
import type { CertificateRow } from '../control/admin/certificates.ts';
import type { DrainRow } from '../control/admin/drains.ts';
import type { ListenerRow } from '../control/admin/listings.ts';
import type { EndpointRow } from './client.ts';
import { agoText, spanText, table } from './columns.ts';

/** What /api/v1/pools says of one. */
export interface PoolRow {
  name: string;
  policy: string;
  isChecked: boolean;
  isJudgedByTraffic: boolean;
  states: Record<string, number>;
  isPanicking: boolean;
  endpoints: unknown[];
  inFlight: number;
  requests: number;
  requestsPerSecond: number;
  imbalance: number;
  retries: number;
  retry: { inFlight: number; budgetExhausted: number };
  hedges: { started: number; won: number };
  queue: { length: number; timeouts: number };
  sticky: Record<string, number> | null;
  breaker: Breaker | null;
  fallback: { pool: string | null; requests: number } | null;
}

interface Breaker {
  requests: Limit;
  pending: Limit;
  retries: Limit;
  isShadow: boolean;
  refused: number;
  wouldRefuse: number;
}
interface Limit {
  now: number;
  /** null: none. */
  max: number | null;
}

/** "2/3": those that take requests, slow starters included. */
export function readyText({ states, endpoints }: Pick<PoolRow, 'states' | 'endpoints'>): string {
  return `${(states['ready'] ?? 0) + (states['slow-start'] ?? 0)}/${endpoints.length}`;
}

/** "PANIC, 1 down, 2 drain"; '-' when all are ready. */
export function otherStates({ states, isPanicking }: Pick<PoolRow, 'states' | 'isPanicking'>): string {
  const counts = Object.entries(states)
    .filter(([state, count]) => state !== 'ready' && count > 0)
    .map(([state, count]) => `${count} ${state}`);
  return [...(isPanicking ? ['PANIC'] : []), ...counts].join(', ') || '-';
}

export function poolTable(rows: readonly PoolRow[], isWide: boolean): string {
  const wide = ['IMBALANCE', 'BUDGET OUT', 'HEDGES WON', 'STICKY', 'BREAKER', 'FALLBACK'];
  return table(
    ['POOL', 'POLICY', 'READY', 'OTHERS', 'IN FLIGHT', 'QUEUE', 'REQ/S', 'REQUESTS', 'RETRIES', ...(isWide ? wide : [])],
    rows.map((row) => [
      row.name,
      row.policy,
      readyText(row),
      otherStates(row),
      row.inFlight,
      row.queue.length,
      rate(row.requestsPerSecond),
      row.requests,
      row.retries,
      ...(isWide
        ? [
            row.imbalance === 0 ? '-' : row.imbalance.toFixed(2),
            row.retry.budgetExhausted,
            `${row.hedges.won}/${row.hedges.started}`,
            row.sticky === null ? '-' : countsText(row.sticky),
            row.breaker === null ? '-' : breakerText(row.breaker),
            row.fallback === null ? '-' : `${row.fallback.pool} ${row.fallback.requests}`,
          ]
        : []),
    ]),
  );
}

/** "90 hit, 3 new"; '-' when nothing was counted. */
function countsText(counts: Readonly<Record<string, number>>): string {
  const seen = Object.entries(counts).filter(([, count]) => count > 0);
  return seen.map(([name, count]) => `${count} ${name}`).join(', ') || '-';
}

/** "requests 5/100, 3 refused". */
function breakerText({ requests, pending, retries, isShadow, refused, wouldRefuse }: Breaker): string {
  const limits = Object.entries({ requests, pending, retries })
    .filter(([, { max }]) => max !== null)
    .map(([name, { now, max }]) => `${name} ${now}/${max}`);
  return [...limits, isShadow ? `${wouldRefuse} would be refused` : `${refused} refused`].join(', ');
}

function rate(perSecond: number | null): string {
  return perSecond === null ? '-' : perSecond >= 10 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}

export function drainTable(rows: readonly DrainRow[]): string {
  const now = Date.now();
  return table(
    ['DRAIN', 'ENDPOINT', 'STATE', 'SINCE', 'DEADLINE', 'LEFT', 'SAFE TO STOP', 'WHY'],
    rows.map(({ id, pool, endpoint, state, since, deadline, remaining, isSafeToStop, reason }) => {
      const seconds = (Date.parse(deadline) - now) / 1000;
      return [
        id,
        `${pool}/${endpoint}`,
        state,
        agoText(since, now) || '-',
        seconds >= 0 ? `in ${spanText(seconds)}` : `${spanText(-seconds)} ago`,
        leftText(remaining),
        isSafeToStop ? 'yes' : 'no',
        reason ?? '',
      ];
    }),
  );
}

export function listenerTable(rows: readonly ListenerRow[], isWide: boolean): string {
  return table(
    ['LISTENER', 'PROTOCOL', 'ADDRESSES', 'CONNECTIONS', 'REJECTED', ...(isWide ? ['TLS', 'ALPN', 'CERTIFICATES'] : [])],
    rows.map(({ name, protocol, tls, addresses, connections, rejected }) => [
      name,
      protocolText(protocol, tls !== null),
      addresses.join(' '),
      connections,
      rejected,
      ...(isWide
        ? [tls === null ? '-' : `${tls.minVersion}+`, tls?.alpn.join(' ') || '-', tls?.certificates.join(' ') || '-']
        : []),
    ]),
  );
}

/** "https", "tcp in TLS". */
export function protocolText(protocol: string, isInTls: boolean): string {
  if (!isInTls) return protocol;
  return protocol === 'http' ? 'https' : `${protocol} in TLS`;
}

/** Names of one certificate in a table that is not wide. */
const NAMES_SHOWN_MAX = 3;

export function certificateTable(rows: readonly CertificateRow[], isWide: boolean): string {
  const now = Date.now();
  return table(
    ['CERTIFICATE', 'FOR', 'STATE', 'EXPIRES', 'LISTENERS', ...(isWide ? ['NOT BEFORE', 'NOT AFTER', 'FILE', 'SOURCE'] : [])],
    rows.map(({ name, names, status, notBefore, notAfter, listeners, file, source }) => {
      const seconds = (Date.parse(notAfter) - now) / 1000;
      const more = names.length - NAMES_SHOWN_MAX;
      const shown = isWide || more <= 0 ? names.join(' ') : `${names.slice(0, NAMES_SHOWN_MAX).join(' ')} and ${more} more`;
      return [
        name,
        shown || '-',
        status.state,
        seconds >= 0 ? `in ${spanText(seconds)}` : `${spanText(-seconds)} ago`,
        listeners.join(' '),
        ...(isWide ? [notBefore, notAfter, file ?? '-', source] : []),
      ];
    }),
  );
}

export function endpointTable(rows: readonly EndpointRow[], isWide: boolean): string {
  const wide = ['REQ/S', 'TUNNELS', 'IDLE', 'BUSY', 'TIMEOUTS', '502-504', 'CHECKS', 'FAILED', 'NOT MADE', 'EVIDENCE'];
  const headings = ['ENDPOINT', 'STATE', 'SINCE', 'WEIGHT', 'IN FLIGHT', 'REQUESTS', 'FAULTS', 'RESPONSE', 'WHY'];
  return table(
    [...headings, ...(isWide ? wide : [])],
    rows.map((row) => {
      const { pool, address, status, weight, weightPercent, inFlight, requests, faults, responseSeconds } = row;
      const hasOrder = weightPercent !== undefined && weightPercent !== 100;
      return [
        `${pool}/${address}`,
        stateText(row),
        agoText(status.since, Date.now()) || '-',
        hasOrder ? `${weight} x ${weightPercent}%` : String(weight),
        inFlight,
        requests,
        faults ?? 0,
        responseSeconds === undefined || responseSeconds === 0 ? '-' : `${(responseSeconds * 1000).toFixed(1)}ms`,
        whyText(row),
        ...(isWide
          ? [
              rate(row.requestsPerSecond),
              row.tunnels ?? 0,
              row.connections?.idle ?? 0,
              row.connections?.busy ?? 0,
              row.timeouts ?? 0,
              row.gatewayErrors ?? 0,
              (row.checks?.passed ?? 0) + (row.checks?.failed ?? 0),
              row.checks?.failed ?? 0,
              row.checks?.notMade ?? 0,
              status.evidence.join('; ') || '-',
            ]
          : []),
      ];
    }),
  );
}

/** "slow-start 42%", "ready backup". */
function stateText({ status, slowStart, isBackup }: EndpointRow): string {
  const share = slowStart ? ` ${Math.round(slowStart.share * 100)}%` : '';
  return `${status.state}${share}${isBackup ? ' backup' : ''}`;
}

/** "5 failures in a row; returns in 58s, ejected 2 times in a row; weight: canary". */
function whyText({ status, ejection, weightStatus }: EndpointRow): string {
  const parts: string[] = [];
  if (status.reason !== null) parts.push(status.reason);
  if (ejection !== null && ejection.returnsAt !== null) {
    const times = ejection.count > 1 ? `, ejected ${ejection.count} times in a row` : '';
    parts.push(`returns in ${spanText((Date.parse(ejection.returnsAt) - Date.now()) / 1000)}${times}`);
  }
  if (weightStatus) parts.push(`weight: ${weightStatus.reason}`);
  return parts.join('; ');
}
