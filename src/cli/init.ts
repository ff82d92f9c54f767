/** `weir init`: a commented config to begin with, and the schema that editors check it by. Overwrites nothing. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { type ConfigResult, formatFaults, jsonSchema, parseConfig } from '../control/config/config.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface InitOptions {
  /** Ask nothing. */
  yes?: boolean;
  /** Write weir.config.ts. */
  ts?: boolean;
}

export interface Answers {
  listen: string;
  endpoints: string[];
  /** Path that health checks ask for; tcp; '' for none. */
  health: string;
}

export const answersDefault: Answers = { listen: ':8080', endpoints: ['127.0.0.1:3000', '127.0.0.1:3001'], health: 'tcp' };
const SCHEMA_FILE = 'weir.schema.json';

export async function init(options: InitOptions, shell: Shell): Promise<number> {
  const file = options.ts ? 'weir.config.ts' : 'weir.yaml';
  const answers = shell.inIsTerminal && shell.errIsTerminal && !options.yes ? await ask() : answersDefault;
  // The answers may be nonsense; the check says so in the words of the config.
  const checked: ConfigResult = parseConfig(initYaml(answers), 'weir.yaml', {});
  if (checked.plan === null) {
    shell.err(formatFaults(checked.faults, { color: shell.color }));
    return exit.usage;
  }
  const text = options.ts ? initTypeScript(answers) : initYaml(answers);
  try {
    writeFileSync(resolve(shell.folder, file), text, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new UsageError(`${file} is there already`);
    throw error;
  }
  // The schema belongs to the version of weir, so a newer one replaces it.
  if (!options.ts) writeFileSync(resolve(shell.folder, SCHEMA_FILE), JSON.stringify(jsonSchema('2020-12'), null, 2) + '\n');
  shell.err(
    `wrote ${file}${options.ts ? '' : ` and ${SCHEMA_FILE}`}\n\n  weir check      is it right?\n  weir run        start\n`,
  );
  return exit.done;
}

async function ask(): Promise<Answers> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const question = async (text: string, otherwise: string) =>
    (await prompt.question(`${text} [${otherwise}] `)).trim() || otherwise;
  try {
    const listen = await question('Address to listen on', answersDefault.listen);
    const endpoints = await question('Endpoints, separated by spaces', answersDefault.endpoints.join(' '));
    const health = await question('Path for health checks, tcp, or none', answersDefault.health);
    return { listen, endpoints: endpoints.split(/[\s,]+/), health: health === 'none' ? '' : health };
  } finally {
    prompt.close();
  }
}

/** The config as YAML. */
export function initYaml({ listen, endpoints, health }: Answers): string {
  return `# yaml-language-server: $schema=./${SCHEMA_FILE}
version: 1

listeners:
  web:
    listen: ${JSON.stringify(listen)}
    to: web                       # where requests go that no route takes

pools:
  web:
    endpoints:
${endpoints.map((endpoint) => `      - ${JSON.stringify(endpoint)}`).join('\n')}
    balance: power-of-two         # or round-robin, least-requests, random, first
    ${health === '' ? '# health: /healthz            # ask for this path; without checks only failed requests tell that an endpoint is down' : `health: ${JSON.stringify(health)}`}

# The most specific route wins, wherever it stands in the list.
# routes:
#   - { host: shop.example, path: /api/*, to: web }
#   - { host: www.shop.example, redirect: "https://shop.example{request.uri}" }

# tests:                          # run by weir check; no network needed
#   - { request: "GET https://shop.example/api/items", expect: { pool: web } }

# logs:
#   access: stdout

admin:
  listen: 127.0.0.1:9900          # metrics and health of weir itself
`;
}

/** The config as TypeScript. */
export function initTypeScript({ listen, endpoints, health }: Answers): string {
  return `export default {
  version: 1,
  listeners: {
    web: { listen: ${JSON.stringify(listen)}, to: 'web' },
  },
  pools: {
    web: {
      endpoints: ${JSON.stringify(endpoints)},
      balance: 'power-of-two',
${health === '' ? '' : `      health: ${JSON.stringify(health)},\n`}    },
  },
  admin: { listen: '127.0.0.1:9900' },
};
`;
}
