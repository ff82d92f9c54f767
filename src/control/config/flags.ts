/** `weir proxy`: a config from flags. The flags are written as a config and read as one, so both mean the same by construction. */
import { stringify } from 'yaml';
import { readEndpoint, readListen } from './address.ts';
import { type ConfigOptions, type ConfigResult, parseConfig } from './config.ts';
import { type ConfigFault, faultOfFile } from './fault.ts';
import type { Config } from './schema.ts';
import { algorithms } from './schema-balance.ts';
import { readActive } from './schema-check.ts';
import { nearest } from './suggest.ts';
import { listOf } from './values.ts';

export interface ProxyFlags {
  from: string | readonly string[];
  to: readonly string[];
  /** What is carried; both may be asked for, on the same address. Neither: requests. */
  tcp?: boolean;
  udp?: boolean;
  /** Algorithm. */
  balance?: string;
  /** Path that health checks ask for, tcp, grpc, redis, postgres or mysql. */
  check?: string;
  /** Files (PEM): TLS is opened with this certificate. */
  tlsCertificate?: string;
  tlsKey?: string;
  workers?: number;
  engine?: 'auto' | 'uring' | 'epoll';
  /** stdout, stderr or a path. */
  accessLog?: string;
}

/** The config that says the same, as YAML. */
export function configText(flags: ProxyFlags): string {
  const from = listOf(flags.from);
  const listen = from.length === 1 ? from[0] : from;
  const config: Config = { version: 1, listeners: {}, pools: {} };
  const protocols = (['tcp', 'udp'] as const).filter((protocol) => flags[protocol]);
  for (const protocol of protocols) config.listeners[protocol] = { listen, protocol, to: protocol };
  if (protocols.length === 0) config.listeners['web'] = { listen, to: 'web' };
  for (const name of Object.keys(config.listeners)) {
    config.pools![name] = { endpoints: [...flags.to] };
    if (flags.balance !== undefined) config.pools![name].balance = flags.balance as (typeof algorithms)[number];
    if (flags.check !== undefined) config.pools![name].health = flags.check;
  }
  if (flags.tlsCertificate !== undefined && flags.tlsKey !== undefined) {
    config.certificates = { own: { files: { certificate: flags.tlsCertificate, key: flags.tlsKey } } };
    for (const listener of Object.values(config.listeners)) {
      listener.tls = true;
      listener.protocol ??= 'https';
    }
  }
  if (flags.workers !== undefined || flags.engine !== undefined) {
    config.process = {};
    if (flags.workers !== undefined) config.process.workers = flags.workers;
    if (flags.engine !== undefined) config.process.engine = flags.engine;
  }
  if (flags.accessLog !== undefined) config.logs = { access: flags.accessLog };
  return `# yaml-language-server: $schema=./weir.schema.json\n${stringify(config)}`;
}

/** The plan of these flags. Faults name the flag in the place of a file. */
export function planFromFlags(flags: ProxyFlags, options: ConfigOptions): ConfigResult {
  const { from, to, tlsCertificate, tlsKey } = flags;
  const written: ProxyFlags = {
    ...flags,
    from: listOf(from).map(literal),
    to: to.map(literal),
    tlsCertificate: tlsCertificate && literal(tlsCertificate),
    tlsKey: tlsKey && literal(tlsKey),
  };
  const result = parseConfig(configText(written), 'weir proxy', options.env, options);
  const faults = [...flagFaults(flags), ...result.faults.flatMap(ofCertificate)];
  result.warnings = result.warnings.map((warning) => ofCertificate(warning)[0] ?? warning);
  if (faults.length > 0) return { ...result, plan: null, process: null, faults, warnings: [] };
  return result;
}

/** A fault of the certificate, or of its key, with the flag in the place of a file; empty: it is another's. */
function ofCertificate({ code, message, help, pointer }: ConfigFault): ConfigFault[] {
  const which = /^\/certificates\/own\/files\/(certificate|key)/.exec(pointer)?.[1];
  return which === undefined ? [] : [faultOfFile(`--tls-${which}`, code, message, help)];
}

function flagFaults(flags: ProxyFlags): ConfigFault[] {
  const faults: ConfigFault[] = [];
  for (const from of listOf(flags.from)) {
    const listen = readListen(from);
    if (!listen.ok) faults.push(faultOfFile('--from', 'bad-value', `${from}: ${listen.message}`, listen.help ?? null));
  }
  if (flags.to.length === 0)
    faults.push(faultOfFile('--to', 'missing-key', 'at least one endpoint is needed', 'for example --to 127.0.0.1:3000'));
  const seen = new Set<string>();
  for (const to of flags.to) {
    const read = readEndpoint(to);
    if (!read.ok) faults.push(faultOfFile('--to', 'bad-value', `${to}: ${read.message}`, read.help ?? null));
    else if (seen.has(read.value.text)) faults.push(faultOfFile('--to', 'defined-twice', `${to} is given twice`));
    else seen.add(read.value.text);
  }
  const { tlsCertificate, tlsKey } = flags;
  if ((tlsCertificate === undefined) !== (tlsKey === undefined)) {
    const missing = tlsKey === undefined ? '--tls-key' : '--tls-certificate';
    faults.push(faultOfFile(missing, 'missing-key', '--tls-certificate and --tls-key go together'));
  }
  if (tlsCertificate !== undefined && flags.udp) {
    const help = 'TLS is opened for requests, and with --tcp';
    faults.push(faultOfFile('--tls-certificate', 'contradiction', '--tls-certificate does not go with --udp', help));
  }
  const { balance, check } = flags;
  if (balance !== undefined && !(algorithms as readonly string[]).includes(balance)) {
    const guess = nearest(balance, algorithms);
    faults.push(
      faultOfFile(
        '--balance',
        'bad-value',
        `${balance} is no algorithm`,
        guess ? `did you mean ${guess}?` : `known are ${algorithms.join(', ')}`,
      ),
    );
  }
  const asked = check === undefined ? null : readActive(check);
  if (asked !== null && !asked.ok)
    faults.push(faultOfFile('--check', 'bad-value', `${check}: ${asked.message}`, asked.help ?? null));
  return faults;
}

/** A placeholder in a flag was the shell's to fill in. */
function literal(text: string): string {
  return text.replaceAll('${', '$${');
}
