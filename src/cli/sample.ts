/** `--sample-endpoints`: test endpoints on the addresses of the first pool, so that a first try needs nothing else. */
import type { ConfigResult } from '../control/config/config.ts';
import { type EchoEndpoint, startEcho } from './echo.ts';
import type { Shell } from './shell.ts';

/** Starts what can be started. A port that is taken is somebody's own endpoint, and left to them. */
export async function startSamples(config: ConfigResult, shell: Shell): Promise<EchoEndpoint[]> {
  const endpoints: EchoEndpoint[] = [];
  for (const [at, { resolved }] of (config.plan?.pools[0]?.endpoints ?? []).entries()) {
    if (resolved === null || resolved.kind !== 'ip') continue;
    const { host, port } = resolved;
    try {
      endpoints.push(await startEcho({ name: `sample-${at + 1}`, host, port, delayMs: 0, fail: 0, seed: at }));
    } catch (error) {
      shell.err(`weir: no sample endpoint on ${host}:${port}: ${(error as NodeJS.ErrnoException).code}\n`);
    }
  }
  return endpoints;
}
