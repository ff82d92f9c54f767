/** `weir get KIND [NAME]`: the objects of a running instance, as a table or as the admin API's JSON. */
import type { CertificateRow } from '../control/admin/certificates.ts';
import type { DrainRow } from '../control/admin/drains.ts';
import type { ListenerRow } from '../control/admin/listings.ts';
import { type Client, ClientFault, type ClientOptions, clientOf, type EndpointRow, withFaults } from './client.ts';
import { agoText, table } from './columns.ts';
import { type ConnectionFilters, getConnections } from './get-connections.ts';
import { getRequests, type RequestFilters } from './get-requests.ts';
import { certificateTable, drainTable, endpointTable, listenerTable, type PoolRow, poolTable } from './get-tables.ts';
import { exit, type Shell } from './shell.ts';

export const kinds = [
  'pools',
  'endpoints',
  'listeners',
  'certificates',
  'routes',
  'workers',
  'drains',
  'requests',
  'connections',
  'config',
] as const;
export type Kind = (typeof kinds)[number];
type ListedKind = Exclude<Kind, 'config' | 'requests' | 'connections'>;

export interface GetOptions extends ClientOptions, RequestFilters, ConnectionFilters {
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
    refuseMisfits(kind, options);
    const client = await clientOf(options, shell);
    if (kind === 'config') {
      if (options.name !== undefined) throw new ClientFault(exit.usage, 'config has no names');
      // There is no table of it.
      shell.out(JSON.stringify(await client.get('/api/v1/config'), null, 2) + '\n');
      return exit.done;
    }
    const isJson = options.json === true || options.output === 'json';
    if (kind === 'requests') return await getRequests(client, { ...options, name: options.name, isJson }, shell);
    if (kind === 'connections') return await getConnections(client, { ...options, name: options.name, isJson }, shell);
    const rows = await rowsOf(client, kind, options.name);
    if (isJson) {
      // One that was named comes alone, as the API has it.
      const isAlone = options.name !== undefined && rows.length === 1 && nameOf(kind, rows[0]!) === options.name;
      shell.out(JSON.stringify(isAlone ? rows[0] : { items: rows }, null, 2) + '\n');
    } else shell.out(tableOf(kind, rows, options.output === 'wide'));
    return exit.done;
  });
}

/** Flags that say nothing of this kind. */
function refuseMisfits(kind: Kind, { fault, slow, open, limit }: GetOptions): void {
  const isRecorded = kind === 'requests' || kind === 'connections';
  if (!isRecorded && (fault || limit !== undefined))
    throw new ClientFault(exit.usage, '--fault and --limit are for requests and connections');
  if (slow && kind !== 'requests') throw new ClientFault(exit.usage, '--slow is for requests');
  if (open && kind !== 'connections') throw new ClientFault(exit.usage, '--open is for connections');
}

/** `name` of an endpoint or drain: POOL/ENDPOINT, or a pool for all of it; of a drain also its id. */
async function rowsOf(client: Client, kind: ListedKind, name: string | undefined): Promise<Row[]> {
  const { items } = (await client.get(`/api/v1/${kind}`)) as { items: Row[] };
  if (name === undefined) return items;
  const isInPool = kind === 'endpoints' || kind === 'drains';
  const named = items.filter(
    (row) => nameOf(kind, row) === name || (isInPool && row['pool'] === name) || (kind === 'drains' && row['id'] === name),
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
      return listenerTable(rows as unknown as ListenerRow[], isWide);
    case 'certificates':
      return certificateTable(rows as unknown as CertificateRow[], isWide);
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
