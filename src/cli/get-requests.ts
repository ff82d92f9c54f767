/** `weir get requests`: the latest requests that the flight recorders remember. */
import { type RequestStory, type Stories, shortSpan } from '../control/explain/explain.ts';
import { type Client, ClientFault } from './client.ts';
import { agoText, table } from './columns.ts';
import { exit, type Shell } from './shell.ts';

export interface RequestFilters {
  /** Those answered 5xx, or not at all, or by weir because something was wrong. */
  fault?: boolean;
  /** Those whose answer took over a second to begin. */
  slow?: boolean;
  limit?: string;
}

/** Characters of host and path in the table; --json has all that is remembered. */
const TARGET_CHARS_MAX = 60;

export async function getRequests(
  client: Client,
  { fault, slow, limit, name, isJson }: RequestFilters & { name: string | undefined; isJson: boolean },
  shell: Shell,
): Promise<number> {
  if (name !== undefined) throw new ClientFault(exit.usage, `weir explain --id ${name} tells what became of one request`);
  const query = new URLSearchParams({
    ...(fault && { fault: 'true' }),
    ...(slow && { slow: 'true' }),
    ...(limit !== undefined && { limit }),
  });
  const stories = (await client.get(`/api/v1/requests?${query}`)) as Stories;
  shell.out(isJson ? JSON.stringify(stories, null, 2) + '\n' : requestTable(stories.items));
  if (stories.silent.length > 0) shell.err(`weir: worker ${stories.silent.join(', ')} did not answer\n`);
  return exit.done;
}

function requestTable(items: readonly RequestStory[]): string {
  return table(
    ['AGO', 'STATUS', 'TOOK', 'TRIES', 'ENDPOINT', 'CLIENT', 'REQUEST', 'REASON', 'ID'],
    items.map(({ startedAt, answer, seconds, triesCount, tries, client, request, id }) => {
      const target = request.host + request.path;
      const isCut = request.isCut || target.length > TARGET_CHARS_MAX;
      return [
        agoText(startedAt, Date.now()),
        answer.status === 0 ? '-' : String(answer.status),
        shortSpan(seconds.total),
        triesCount,
        tries.at(-1)?.endpoint ?? '-',
        client.address,
        request.method === null ? '-' : `${request.method} ${target.slice(0, TARGET_CHARS_MAX)}${isCut ? '…' : ''}`,
        answer.reason ?? '-',
        id,
      ];
    }),
  );
}
