/** `weir version`. */
import { release } from 'node:os';
import manifest from '../../package.json' with { type: 'json' };
import { exit, type Shell } from './shell.ts';

export const version: string = manifest.version;

export async function printVersion(options: { json?: boolean }, shell: Shell): Promise<number> {
  const { node, openssl, v8 } = process.versions;
  if (options.json) shell.out(JSON.stringify({ weir: version, node, openssl, v8, kernel: release() }) + '\n');
  else shell.out(`weir ${version}  node ${node}  openssl ${openssl}  linux ${release()}\n`);
  return exit.done;
}
