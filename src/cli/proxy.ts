/** `weir proxy`: a balancer from one line, and the configuration file that says the same. */
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ConfigResult, configText, formatFaults, type ProxyFlags, planFromFlags } from '../control/config/config.ts';
import { supervise, workersOf } from './run.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface ProxyOptions {
  from?: string;
  to?: string[];
  tcp?: boolean;
  udp?: boolean;
  balance?: string;
  check?: string;
  tlsCertificate?: string;
  tlsKey?: string;
  save?: string;
  workers?: string;
  engine?: 'auto' | 'uring' | 'epoll';
  portFallback?: boolean;
}

export async function proxy(options: ProxyOptions, shell: Shell): Promise<number> {
  const { from = ':8080', to = [], tcp, udp, balance, check, save, engine } = options;
  if (to.length === 0) throw new UsageError('--to is missing: at least one endpoint, for example --to 127.0.0.1:3000');
  const workers = workersOf(options.workers);
  // In full, so that a saved file may stand anywhere.
  const full = (path: string | undefined): string | undefined => path && resolve(shell.folder, path);
  const tls = { tlsCertificate: full(options.tlsCertificate), tlsKey: full(options.tlsKey) };
  const flags: ProxyFlags = { from, to, tcp, udp, balance, check, workers, engine, ...tls };
  const load = async (): Promise<ConfigResult> => planFromFlags(flags, { env: shell.environment, workers });
  const checked = await load();
  if (checked.plan === null) {
    shell.err(formatFaults(checked.faults, { color: shell.color }));
    return exit.usage;
  }
  if (save !== undefined) {
    const path = resolve(shell.folder, save);
    if (existsSync(path)) {
      shell.err(`weir: ${save} exists already; it is not overwritten\n`);
      return exit.cannotStart;
    }
    writeFileSync(path, configText(flags));
    shell.err(`weir: wrote ${save}; weir run -c ${save} does the same\n`);
  }
  const key = `proxy ${JSON.stringify(flags)}`;
  return await supervise(
    { key, load, engine, watch: false, portFallback: options.portFallback === true, notReadyForMs: 0 },
    shell,
  );
}
