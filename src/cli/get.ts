/** `weir get KIND [NAME]`: the objects of a running instance, as a table or as the admin API's JSON. */
import { countOf, leftText } from '../base/counts.ts';
import type { DrainRow } from '../control/admin/drains.ts';
import { type Client, ClientFault, type ClientOptions, clientOf, type EndpointRow, withFaults } from './client.ts';
import { agoText, spanText, table } from './columns.ts';
import { getRequests, type RequestFilters } from './get-requests.ts';
import { exit, type Shell } from './shell.ts';

export const kinds = ['pools', 'endpoints', 'listeners', 'routes', 'workers', 'drains', 'requests', 'config'] as const;
export type Kind = (typeof kinds)[number];
type ListedKind = Exclude<Kind, 'config' | 'requests'>;

export interface GetOptions extends ClientOptions, RequestFilters {
  kind: string;
  name?: string;
  output?: 'table' | 'wide' | 'json';
}

type Row = Record<string, unknown>;

/** The kind that a word means; the singular is as good. */
export function kindOf(word: string): Kind | null {
  return kinds.find((kind) => kind === word || kind === `${word}s`) ?? null;
}

export function get(options: GetOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    const kind = kindOf(options.kind);
    if (kind === null) throw new ClientFault(exit.usage, `there is no kind ${options.kind}; known are ${kinds.join(', ')}`);
    if (kind !== 'requests' && (options.fault || options.slow || options.limit !== undefined))
      throw new ClientFault(exit.usage, '--fault, --slow and --limit are for requests');
    const client = await clientOf(options, shell);
    if (kind === 'config') {
      if (options.name !== undefined) throw new ClientFault(exit.usage, 'config has no names');
      // There is no table of it.
      shell.out(JSON.stringify(await client.get('/api/v1/config'), null, 2) + '\n');
      return exit.done;
    }
    const isJson = options.json === true || options.output === 'json';
    if (kind === 'requests') return await getRequests(client, { ...options, name: options.name, isJson }, shell);
    const rows = await rowsOf(client, kind, options.name);
    if (isJson) {
      // One that was named comes alone, as the API has it.
      const isAlone = options.name !== undefined && rows.length === 1 && nameOf(kind, rows[0]!) === options.name;
      shell.out(JSON.stringify(isAlone ? rows[0] : { items: rows }, null, 2) + '\n');
    } else shell.out(tableOf(kind, rows, options.output === 'wide'));
    return exit.done;
  });
}

/** `name` of an endpoint or drain: POOL/ENDPOINT, or a pool for all of it. */
async function rowsOf(client: Client, kind: ListedKind, name: string | undefined): Promise<Row[]> {
  const { items } = (await client.get(`/api/v1/${kind}`)) as { items: Row[] };
  if (name === undefined) return items;
  const named = items.filter(
    (row) => nameOf(kind, row) === name || ((kind === 'endpoints' || kind === 'drains') && row['pool'] === name),
  );
  if (named.length > 0) return named;
  const known = [...new Set(items.map((row) => nameOf(kind, row)))].slice(0, 10).join(', ');
  throw new ClientFault(exit.noSuchObject, `there is none named ${name} among ${kind}; there are ${known || 'none'}`);
}

function nameOf(kind: Kind, row: Row): string {
  if (kind === 'endpoints') return `${row['pool']}/${row['address']}`;
  if (kind === 'drains') return `${row['pool']}/${row['endpoint']}`;
  return String(kind === 'workers' ? row['worker'] : row['name']);
}

function tableOf(kind: ListedKind, rows: readonly Row[], isWide: boolean): string {
  switch (kind) {
    case 'pools':
      return poolTable(rows as unknown as PoolRow[], isWide);
    case 'endpoints':
      return endpointTable(rows as unknown as EndpointRow[], isWide);
    case 'listeners':
      return table(
        ['LISTENER', 'PROTOCOL', 'ADDRESSES', 'CONNECTIONS', 'REJECTED'],
        rows.map((row) => [
          String(row['name']),
          String(row['protocol']),
          (row['addresses'] as string[]).join(' '),
          row['connections'] as number,
          row['rejected'] as number,
        ]),
      );
    case 'routes':
      return table(
        ['ROUTE', 'MATCH', 'TO', 'FILTERS', 'REQUESTS', 'SOURCE'],
        rows.map((row) => [
          String(row['name']),
          String(row['match']),
          String(row['action']),
          (row['filters'] as string[]).join(', ') || '-',
          row['requests'] as number,
          String(row['source']),
        ]),
      );
    case 'drains':
      return drainTable(rows as unknown as DrainRow[]);
    case 'workers':
      return table(
        ['WORKER', 'STATE', 'PID', 'ENGINE', 'UP', 'BUSY', 'EPOCH', 'RESTARTS'],
        rows.map((row) => [
          row['worker'] as number,
          String(row['state']),
          String(row['pid'] ?? '-'),
          String(row['engine'] ?? '-'),
          agoText(row['startedAt'] as string | null, Date.now()) || '-',
          row['busyRatio'] === undefined ? '-' : `${Math.round((row['busyRatio'] as number) * 100)}%`,
          String(row['epoch'] ?? '-'),
          row['restarts'] as number,
        ]),
      );
  }
}

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

function poolTable(rows: readonly PoolRow[], isWide: boolean): string {
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

function drainTable(rows: readonly DrainRow[]): string {
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

export function endpointTable(rows: readonly EndpointRow[], isWide: boolean): string {
  const wide = ['REQ/S', 'TUNNELS', 'IDLE', 'BUSY', 'TIMEOUTS', '502-504', 'CHECKS', 'FAILED', 'EVIDENCE'];
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
  if (ejection !== null) {
    const { count, returnsAt } = ejection;
    const times = `ejected ${countOf(count, 'time')} in a row`;
    if (returnsAt !== null) parts.push(`returns in ${spanText((Date.parse(returnsAt) - Date.now()) / 1000)}, ${times}`);
    else if (count > 0) parts.push(`was ${times}`);
  }
  if (weightStatus) parts.push(`weight: ${weightStatus.reason}`);
  return parts.join('; ');
}
