/** `weir set POOL/ENDPOINT weight=50%`: what can be changed of an endpoint at run time. */
import { type ChangedRow, ClientFault, type ClientOptions, clientOf, endpointPath, findEndpoint, withFaults } from './client.ts';
import { printable } from './columns.ts';
import { exit, type Shell } from './shell.ts';

export interface SetOptions extends ClientOptions {
  endpoint: string;
  values: string[];
  reason?: string;
}

/** What can be set, and how it is written. */
const settable: Readonly<Record<string, RegExp>> = { weight: /^\d{1,4}%$/ };

export function set(options: SetOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    const changes = changesOf(options.values);
    const client = await clientOf(options, shell);
    const { pool, address } = await findEndpoint(client, options.endpoint);
    const changed = (await client.patch(endpointPath(pool, address), { ...changes, reason: options.reason })) as ChangedRow;
    if (options.json) shell.out(JSON.stringify(changed, null, 2) + '\n');
    else shell.out(`${printable(`${pool}/${address}`)} has weight ${changed.weight} x ${changed.weightPercent}%\n`);
    return exit.done;
  });
}

/** "weight=50%" as { weight: "50%" }. */
export function changesOf(values: readonly string[]): Record<string, string> {
  const changes: Record<string, string> = {};
  for (const value of values) {
    const at = value.indexOf('=');
    const key = at < 0 ? value : value.slice(0, at);
    if (key === 'maxConnections')
      throw new ClientFault(exit.usage, 'maxConnections is part of the plan: change it in the configuration and reload');
    const form = settable[key];
    if (form === undefined || at < 0)
      throw new ClientFault(
        exit.usage,
        `expected KEY=VALUE, for example weight=50%, not '${value}'; known keys: ${Object.keys(settable).join(', ')}`,
      );
    const text = value.slice(at + 1);
    if (!form.test(text)) {
      const hint = /^\d{1,4}$/.test(text) ? `; did you mean ${key}=${text}%?` : '';
      throw new ClientFault(
        exit.usage,
        `${key} is a whole share of the configured one, for example ${key}=50%, not '${text}'${hint}`,
      );
    }
    changes[key] = text;
  }
  return changes;
}
