/** `weir get connections`: connections and clients of datagrams: the latest that are over, as the flight recorders remember them, or those that are not over. */
import { addressText } from '../base/wire.ts';
import { type ConnectionStories, type ConnectionStory, shortSpan } from '../control/explain/explain.ts';
import { type Client, ClientFault } from './client.ts';
import { agoText, table } from './columns.ts';
import { exit, type Shell } from './shell.ts';

export interface ConnectionFilters {
  /** Those with a fault. */
  fault?: boolean;
  /** Those that are not over. */
  open?: boolean;
  limit?: string;
}

export async function getConnections(
  client: Client,
  { fault, open, limit, name, isJson }: ConnectionFilters & { name: string | undefined; isJson: boolean },
  shell: Shell,
): Promise<number> {
  if (name !== undefined) throw new ClientFault(exit.usage, `weir explain --id ${name} tells what became of one connection`);
  const query = new URLSearchParams({
    ...(fault && { fault: 'true' }),
    ...(open && { open: 'true' }),
    ...(limit !== undefined && { limit }),
  });
  const stories = (await client.get(`/api/v1/connections?${query}`)) as ConnectionStories;
  shell.out(isJson ? JSON.stringify(stories, null, 2) + '\n' : connectionTable(stories.items, open === true));
  if (stories.silent.length > 0) shell.err(`weir: worker ${stories.silent.join(', ')} did not answer\n`);
  return exit.done;
}

function connectionTable(items: readonly ConnectionStory[], isOpen: boolean): string {
  const now = Date.now();
  const times = isOpen ? ['AGE', 'STATE'] : ['AGO', 'TOOK'];
  const places = isOpen ? ['LISTENER', 'POOL'] : ['LISTENER'];
  return table(
    [...times, 'PROTO', 'TRIES', 'IN', 'OUT', ...places, 'ENDPOINT', 'CLIENT', 'NAME', 'REASON', 'ID'],
    items.map((story) => {
      const { startedAt, seconds, protocol, triesCount, bytes, listener, pool, tries, client, serverName, fault, id } = story;
      return [
        agoText(startedAt, now),
        isOpen ? stateText(story, now) : seconds.total === null ? '-' : shortSpan(seconds.total),
        protocol,
        triesCount,
        bytes.in,
        bytes.out,
        listener,
        ...(isOpen ? [pool?.name ?? '-'] : []),
        tries.at(-1)?.endpoint ?? '-',
        client.port === null ? client.address : addressText({ kind: 'ip', host: client.address, port: client.port }),
        serverName ?? '-',
        fault?.reason ?? '-',
        id,
      ];
    }),
  );
}

/** "queued 12s", "connecting", "open". Datagrams need no connecting. */
function stateText({ queuedSince, protocol, seconds }: ConnectionStory, nowMs: number): string {
  if (queuedSince !== null) return `queued ${agoText(queuedSince, nowMs)}`;
  return protocol === 'tcp' && seconds.connect === null ? 'connecting' : 'open';
}
