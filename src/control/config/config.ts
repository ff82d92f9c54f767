/**
 * config: text -> checked plan.
 *
 * A config is read (YAML, JSON, TOML, TypeScript), its texts are filled in from the environment, what it includes is merged, all of it is
 * held against one schema, and a plan is built. Everything wrong is told at once, each fault at its place.
 *
 * It does not know: sockets, workers, the state table (assign.ts only asks it for numbers), DNS. It opens no file but those it is told to read.
 *
 * Rules
 * 1. Nothing throws for what a config says, whatever it says. There is a plan, or at least one error.
 * 2. In the plan, references to pools and listeners are indexes; ids and slots are -1 until assignIds().
 * 3. A plan is made only of a config without errors; warnings do not stop it.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Plan } from '../../state/plan.ts';
import { readAuthorities } from './authorities.ts';
import { type Built, buildPlan, type ProcessSettings } from './build.ts';
import { runCases, type TestCase } from './cases.ts';
import { type ReadCertificate, readCertificates } from './certificates.ts';
import { checkContradictions } from './contradictions.ts';
import { checkStreams } from './contradictions-stream.ts';
import { checkTls } from './contradictions-tls.ts';
import { type ConfigFault, faultOfFile, sortFaults, topOf } from './fault.ts';
import { errorWord } from './fill.ts';
import { type Files, Gatherer } from './gather.ts';
import { kindsOf } from './kinds.ts';
import { lint } from './lints.ts';
import type { MapNode } from './node.ts';
import { checkReferences } from './references.ts';
import { type Config, configSchema } from './schema.ts';
import { type Place, placeText, Source } from './source.ts';
import { readTypeScript } from './typescript.ts';
import { placeKey, walk } from './walk.ts';

export { type Assigned, assignIds, slotsLeft } from './assign.ts';
export type { ProcessSettings } from './build.ts';
export * as document from './document.ts';
export type { ConfigFault, FaultCode } from './fault.ts';
export { codes } from './fault.ts';
export { configText, type ProxyFlags, planFromFlags } from './flags.ts';
export { countText, formatFaults, formatFaultsGithub, formatFaultsJson } from './format.ts';
export { jsonSchema } from './json-schema.ts';
export { type Config, configSchema } from './schema.ts';
export { algorithms } from './schema-balance.ts';

export interface ConfigOptions {
  env: Readonly<Record<string, string | undefined>>;
  /** Text of a file by its absolute path; throws as readFileSync does. Default: reads it, as UTF-8. */
  readFile?: (path: string) => string;
  /** Permission bits of a file by its absolute path; null: not known. Default: asks the file system. */
  fileMode?: (path: string) => number | null;
  /** Files that match a pattern relative to a folder, sorted. */
  glob?: (pattern: string, folder: string) => string[];
  /** Wins over `process.workers`. */
  workers?: number;
  /** Name of this node when the config gives none. Default: the host name. */
  node?: string;
  /**
   * Key of sticky cookies that have no secret of their own, of 32 bytes. Default: a fixed one, for plans that carry no traffic.
   */
  secret?: Uint8Array;
  /** Reads no certificates and no keys, and gives listeners none: for who asks something else of a config, and need not have the right to read keys. */
  withoutCertificates?: boolean;
  /** Ms since 1970, by which certificates are judged. Default: now. */
  now?: number;
  /** What `workers: auto` means. Default: the cores this process may use. */
  cores?: number;
}

export interface ConfigSummary {
  listeners: number;
  pools: number;
  endpoints: number;
  routes: number;
  filters: number;
  tests: number;
}

export interface ConfigResult {
  /** null when there is an error. */
  plan: Plan | null;
  /** null when there is an error. */
  process: ProcessSettings | null;
  faults: ConfigFault[];
  warnings: ConfigFault[];
  summary: ConfigSummary;
  /** Absolute paths of all files that were read or looked for: what --watch watches. */
  files: string[];
  /** Runs `tests:`; one fault for each expectation that is not met. */
  runTests: () => ConfigFault[];
}

/** Where a config is looked for when none is named. */
export const configNames: readonly string[] = ['weir.yaml', 'weir.config.ts', 'weir.toml', 'weir.json'];
const FOLDERS = ['.', '/etc/weir'];

/** The first config in `folder`, then in /etc/weir; null when there is none. */
export function findConfig(folder: string, exists: (path: string) => boolean): string | null {
  for (const place of FOLDERS) {
    for (const name of configNames) {
      const path = resolve(folder, place, name);
      if (exists(path)) return place === '.' ? name : path;
    }
  }
  return null;
}

/** Reads and checks the files of a config; `-` is standard input. Never rejects. */
export async function loadConfig(paths: readonly string[], options: ConfigOptions): Promise<ConfigResult> {
  const faults: ConfigFault[] = [];
  const files = filesOf(options);
  const gatherer = new Gatherer(files, faults);
  for (const path of paths) {
    if (path === '-') gatherer.text(new Source('<stdin>', read(0)), []);
    else if (/\.[mc]?[jt]s$/.test(path)) await program(path, gatherer, faults);
    else gatherer.file(path, null, []);
  }
  return finish(gatherer, options);
}

/** Checks a text as if it were the file of this name; the name's ending says the language. Includes are read relative to it. */
export function parseConfig(
  text: string,
  fileName: string,
  env: ConfigOptions['env'],
  more: Omit<ConfigOptions, 'env'> = {},
): ConfigResult {
  const options = { ...more, env };
  const gatherer = new Gatherer(filesOf(options), []);
  gatherer.text(new Source(fileName, text), [resolve(fileName)]);
  return finish(gatherer, options);
}

async function program(path: string, gatherer: Gatherer, faults: ConfigFault[]): Promise<void> {
  const full = resolve(path);
  gatherer.seen.push(full);
  let source: Source;
  try {
    source = new Source(path, gatherer.files.readFile(full));
  } catch (error) {
    gatherer.isIncomplete = true;
    faults.push(faultOfFile(path, 'no-such-file', `${path} cannot be read: ${errorWord(error)}`));
    return;
  }
  const root = await readTypeScript(source, full, faults);
  if (root === null) gatherer.isIncomplete = true;
  else gatherer.part(root, [full]);
}

function finish(gatherer: Gatherer, options: ConfigOptions): ConfigResult {
  const { faults } = gatherer;
  const result: ConfigResult = {
    plan: null,
    process: null,
    faults: [],
    warnings: [],
    summary: { listeners: 0, pools: 0, endpoints: 0, routes: 0, filters: 0, tests: 0 },
    files: gatherer.seen,
    runTests: () => [],
  };
  const root = gatherer.merged();
  if (root !== null) check(root, gatherer, options, result);
  const sorted = sortFaults(faults);
  result.faults = sorted.filter((fault) => fault.severity === 'error');
  result.warnings.push(...sorted.filter((fault) => fault.severity === 'warning'));
  if (result.faults.length > 0) result.plan = result.process = null;
  return result;
}

/** In the place of an instance's secret where no traffic will be carried. */
const PLACEHOLDER_SECRET = new Uint8Array(32);

function check(root: MapNode, gatherer: Gatherer, options: ConfigOptions, result: ConfigResult): void {
  const { faults } = gatherer;
  const walked = walk(root, configSchema, faults);
  checkReferences(root, gatherer.isIncomplete, faults);
  checkContradictions(root, faults);
  const kinds = kindsOf(root, faults);
  checkStreams(root, kinds, faults);
  checkTls(root, gatherer.isIncomplete, faults);
  const files = { ...gatherer.files, seen: gatherer.seen };
  const authorities = readAuthorities(root, files, faults);
  const certificates = options.withoutCertificates ? new Map<string, ReadCertificate>() : readCertificates(root, files, faults);
  if (faults.length > 0) return;
  const config = configSchema.parse(walked.value) as Config;
  const placeOf = (path: readonly string[]): Place => {
    for (let length = path.length; length >= 0; length--) {
      const place = walked.places.get(placeKey(path.slice(0, length)));
      if (place !== undefined) return place;
    }
    return topOf(root.source);
  };
  const built: Built = buildPlan(config, {
    node: options.node ?? hostname(),
    cores: options.cores ?? availableParallelism(),
    workers: options.workers,
    secret: options.secret ?? PLACEHOLDER_SECRET,
    authorities,
    certificates,
    kinds,
    sourceOf: (path) => placeText(placeOf(path)),
  });
  const { plan } = built;
  const cases: TestCase[] = (config.tests ?? []).map((test, i) => {
    const path = ['tests', String(i)];
    return { test, path, placeOf: (key) => placeOf(key === null ? path : [...path, 'expect', key]) };
  });
  result.plan = plan;
  result.process = built.process;
  result.summary = {
    listeners: plan.listeners.length,
    pools: plan.pools.length,
    endpoints: plan.pools.reduce((sum, pool) => sum + pool.endpoints.length, 0),
    routes: config.routes?.length ?? 0,
    filters: Object.keys(config.filters ?? {}).length,
    tests: cases.length,
  };
  result.runTests = () => sortFaults(runCases(plan, cases));
  result.warnings = sortFaults(
    lint({ config, plan, origins: built.origins, streams: built.streams, certificates, now: options.now ?? Date.now(), placeOf }),
  );
}

function filesOf(options: ConfigOptions): Files {
  return {
    env: options.env,
    readFile: options.readFile ?? read,
    fileMode: options.fileMode ?? ((path) => statSync(path, { throwIfNoEntry: false })?.mode ?? null),
    glob: options.glob ?? ((pattern, folder) => globSync(pattern, { cwd: folder }).sort()),
  };
}

function read(file: string | number): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
}
