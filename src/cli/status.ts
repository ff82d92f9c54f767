/** `weir status`: one screen about a running instance. */
import { countOf } from '../base/counts.ts';
import type { Trouble } from '../control/admin/troubles.ts';
import { type ClientOptions, clientOf, withFaults } from './client.ts';
import { agoText, printable, spanText, table } from './columns.ts';
import { otherStates, type PoolRow, protocolText, readyText } from './get-tables.ts';
import { exit, type Shell } from './shell.ts';

interface Status {
  node: string | null;
  version: string;
  engine: string | null;
  epoch: number;
  uptime: number;
  isReady: boolean;
  notReady: { name: string; why: string }[];
  workers: { configured: number; serving: number };
  listeners: { name: string; protocol: string; isInTls: boolean; addresses: string[] }[];
  totals: { requests: number; faults: number; inFlight: number; connections: number };
  /** The worst first. */
  troubles: Trouble[];
}

/** Exits 8 when the instance takes no traffic. */
export function status(options: ClientOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    const client = await clientOf(options, shell);
    const now = (await client.get('/api/v1/status')) as Status;
    if (options.json) shell.out(JSON.stringify(now, null, 2) + '\n');
    else {
      const { items } = (await client.get('/api/v1/pools')) as { items: PoolRow[] };
      shell.out(statusText(now, items, Date.now()));
    }
    return now.isReady ? exit.done : exit.no;
  });
}

export function statusText(now: Status, pools: readonly PoolRow[], nowMs: number): string {
  const { workers, totals } = now;
  const word = now.isReady ? 'ready' : `not ready: ${now.notReady.map(({ name, why }) => why || name).join(', ')}`;
  const lines = [
    `${now.node ?? '-'}  ${word}  weir ${now.version}, epoch ${now.epoch}, up ${spanText(now.uptime)}, ` +
      `${now.engine ?? 'no engine'}, ${workers.serving} of ${workers.configured} workers`,
    `${countOf(totals.requests, 'request')}, ${countOf(totals.faults, 'fault')}, ${totals.inFlight} in flight, ${countOf(totals.connections, 'connection')}`,
    '',
  ].map(printable);
  const listeners = table(
    ['LISTENER', 'PROTOCOL', 'ADDRESSES'],
    now.listeners.map(({ name, protocol, isInTls, addresses }) => [name, protocolText(protocol, isInTls), addresses.join(' ')]),
  );
  const poolTable = table(
    ['POOL', 'POLICY', 'JUDGED BY', 'READY', 'OTHERS', 'IN FLIGHT', 'QUEUE', 'REQUESTS'],
    pools.map((pool) => [
      pool.name,
      pool.policy,
      judgedBy(pool),
      readyText(pool),
      otherStates(pool),
      pool.inFlight,
      pool.queue.length,
      pool.requests,
    ]),
  );
  const troubles =
    now.troubles.length === 0
      ? 'no trouble\n'
      : table(
          ['TROUBLE', 'STATE', 'SINCE', 'WHY', 'WHAT TO DO'],
          now.troubles.map(({ severity, pool, endpoint, state, since, reason, advice }) => [
            `${severity === 'error' ? '! ' : ''}${[pool, endpoint].filter((part) => part !== null).join('/') || 'weir'}`,
            state,
            agoText(since, nowMs) || '-',
            reason ?? '',
            advice,
          ]),
        );
  return `${lines.join('\n')}\n${listeners}\n${poolTable}\n${troubles}`;
}

function judgedBy({ isChecked, isJudgedByTraffic }: PoolRow): string {
  return [isChecked ? 'checks' : '', isJudgedByTraffic ? 'traffic' : ''].filter(Boolean).join(', ') || 'nobody';
}
