/** `weir eject POOL/ENDPOINT`: takes an endpoint out for a time, as live traffic would. */
import { type ChangedRow, type ClientOptions, clientOf, endpointPath, findEndpoint, withFaults } from './client.ts';
import { printable, spanText } from './columns.ts';
import { duration } from './flags.ts';
import { exit, type Shell } from './shell.ts';

export interface EjectOptions extends ClientOptions {
  endpoint: string;
  /** Not given: ejectFor of the pool. */
  for?: string;
  reason?: string;
}

export function eject(options: EjectOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    // Wrong usage is found before anything is asked.
    if (options.for !== undefined) duration(options.for);
    const client = await clientOf(options, shell);
    const { pool, address } = await findEndpoint(client, options.endpoint);
    const asked = { for: options.for, reason: options.reason };
    const changed = (await client.post(`${endpointPath(pool, address)}/eject`, asked)) as ChangedRow;
    if (options.json) shell.out(JSON.stringify(changed, null, 2) + '\n');
    else shell.out(`${printable(`${pool}/${address}`)} ${verdict(changed)}\n`);
    return exit.done;
  });
}

/** It may be drained as well, or have been ejected for longer already. */
function verdict({ status, ejection }: ChangedRow): string {
  const returnsAt = ejection?.returnsAt ?? null;
  const when = returnsAt === null ? '' : `, returns in ${spanText((Date.parse(returnsAt) - Date.now()) / 1000)}`;
  return `is ${status.state}${when}`;
}
