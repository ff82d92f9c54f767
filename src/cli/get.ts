/** `weir get KIND [NAME]`: the objects of a running instance, as a table or as the admin API's JSON. */
import { type Client, ClientFault, type ClientOptions, clientOf, type EndpointRow, withFaults } from './client.ts';
import { agoText, table } from './columns.ts';
import { exit, type Shell } from './shell.ts';

export const kinds = ['pools', 'endpoints', 'listeners', 'routes', 'workers', 'drains', 'config'] as const;
export type Kind = (typeof kinds)[number];

export interface GetOptions extends ClientOptions {
  kind: string;
  name?: string;
  output?: 'table' | 'json';
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
    const client = await clientOf(options, shell);
    if (kind === 'config') {
      if (options.name !== undefined) throw new ClientFault(exit.usage, 'config has no names');
      // There is no table of it.
      shell.out(JSON.stringify(await client.get('/api/v1/config'), null, 2) + '\n');
      return exit.done;
    }
    const rows = await rowsOf(client, kind, options.name);
    if (options.json || options.output === 'json') {
      // One that was named comes alone, as the API has it.
      const isAlone = options.name !== undefined && rows.length === 1 && nameOf(kind, rows[0]!) === options.name;
      shell.out(JSON.stringify(isAlone ? rows[0] : { items: rows }, null, 2) + '\n');
    } else shell.out(tableOf(kind, rows));
    return exit.done;
  });
}

/** `name` of an endpoint or drain: POOL/ENDPOINT, or a pool for all of it. */
async function rowsOf(client: Client, kind: Exclude<Kind, 'config'>, name: string | undefined): Promise<Row[]> {
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

function tableOf(kind: Exclude<Kind, 'config'>, rows: readonly Row[]): string {
  switch (kind) {
    case 'pools':
      return table(
        ['POOL', 'POLICY', 'READY', 'NOT READY', 'IN FLIGHT', 'REQUESTS', 'RETRIES'],
        (rows as unknown as PoolRow[]).map(({ name, policy, states, endpoints, inFlight, requests, retries }) => [
          name,
          policy,
          `${states['ready']}/${endpoints.length}`,
          stateCounts(states) || '-',
          inFlight,
          requests,
          retries,
        ]),
      );
    case 'endpoints':
      return endpointTable(rows as unknown as EndpointRow[]);
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
      return table(
        ['ENDPOINT', 'STATE', 'SINCE', 'IN FLIGHT', 'SAFE TO STOP', 'WHY'],
        rows.map((row) => [
          `${row['pool']}/${row['endpoint']}`,
          String(row['state']),
          agoText(row['since'] as string | null, Date.now()) || '-',
          row['inFlight'] as number,
          row['isSafeToStop'] === true ? 'yes' : 'no',
          String(row['reason'] ?? ''),
        ]),
      );
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

interface PoolRow {
  name: string;
  policy: string;
  states: Record<string, number>;
  endpoints: unknown[];
  inFlight: number;
  requests: number;
  retries: number;
}

/** "1 down, 2 drain"; '' when all are ready. */
export function stateCounts(states: Readonly<Record<string, number>>): string {
  return Object.entries(states)
    .filter(([state, count]) => state !== 'ready' && count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}

export function endpointTable(rows: readonly EndpointRow[]): string {
  return table(
    ['ENDPOINT', 'STATE', 'SINCE', 'WEIGHT', 'IN FLIGHT', 'REQUESTS', 'FAULTS', 'RESPONSE', 'WHY'],
    rows.map(
      ({ pool, address, status, weight, weightPercent, weightStatus, isBackup, inFlight, requests, faults, responseSeconds }) => {
        const hasOrder = weightPercent !== undefined && weightPercent !== 100;
        const why = [status.reason, weightStatus ? `weight: ${weightStatus.reason}` : null].filter(Boolean).join('; ');
        return [
          `${pool}/${address}`,
          `${status.state}${isBackup ? ' backup' : ''}`,
          agoText(status.since, Date.now()) || '-',
          hasOrder ? `${weight} x ${weightPercent}%` : String(weight),
          inFlight,
          requests,
          faults ?? 0,
          responseSeconds === undefined || responseSeconds === 0 ? '-' : `${(responseSeconds * 1000).toFixed(1)}ms`,
          why,
        ];
      },
    ),
  );
}
