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
  /** What kind of traffic. Default web. */
  template?: Template;
}

export type Template = 'web' | 'tcp';

export interface Answers {
  listen: string;
  endpoints: string[];
  /** Path that health checks ask for; tcp; '' for none. */
  health: string;
}

export const answersDefault: Readonly<Record<Template, Answers>> = Object.freeze({
  web: { listen: ':8080', endpoints: ['127.0.0.1:3000', '127.0.0.1:3001'], health: 'tcp' },
  tcp: { listen: ':5432', endpoints: ['127.0.0.1:15432', '127.0.0.1:15433'], health: 'tcp' },
});
const SCHEMA_FILE = 'weir.schema.json';

export async function init(options: InitOptions, shell: Shell): Promise<number> {
  const file = options.ts ? 'weir.config.ts' : 'weir.yaml';
  const { template = 'web' } = options;
  const isAsked = shell.inIsTerminal && shell.errIsTerminal && !options.yes;
  const answers = isAsked ? await ask(template) : answersDefault[template];
  const yaml = template === 'tcp' ? initTcpYaml(answers) : initYaml(answers);
  // The answers may be nonsense; the check says so in the words of the config.
  const checked: ConfigResult = parseConfig(yaml, 'weir.yaml', {});
  if (checked.plan === null) {
    shell.err(formatFaults(checked.faults, { color: shell.color }));
    return exit.usage;
  }
  const text = options.ts ? initTypeScript(answers, template) : yaml;
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

async function ask(template: Template): Promise<Answers> {
  const defaults = answersDefault[template];
  const checks =
    template === 'tcp' ? 'Health checks: tcp, redis, postgres, mysql, or none' : 'Path for health checks, tcp, or none';
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const question = async (text: string, otherwise: string) =>
    (await prompt.question(`${text} [${otherwise}] `)).trim() || otherwise;
  try {
    const listen = await question('Address to listen on', defaults.listen);
    const endpoints = await question('Endpoints, separated by spaces', defaults.endpoints.join(' '));
    const health = await question(checks, defaults.health);
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

/** The config for connections that are passed on, as YAML. */
export function initTcpYaml({ listen, endpoints, health }: Answers): string {
  return `# yaml-language-server: $schema=./${SCHEMA_FILE}
version: 1

listeners:
  main:
    listen: ${JSON.stringify(listen)}
    protocol: tcp                 # auto: HTTP is taken for requests; udp: datagrams
    to: main                      # where connections go that no route takes
    # timeouts: { idle: 1h, connect: 1s }
    # proxyProtocol: { accept: required, from: [10.0.0.0/8] }   # behind another balancer

pools:
  main:
    endpoints:
${endpoints.map((endpoint) => `      - ${JSON.stringify(endpoint)}`).join('\n')}
    balance: least-requests       # fewest connections; or source: a client stays where it was
    ${health === '' ? '# health: tcp               # or redis, postgres, mysql; without checks only failed connections tell that an endpoint is down' : `health: ${JSON.stringify(health)}`}
    # proxyProtocol: v2           # tells endpoints who the client is, if they understand it

# TLS can be passed on by the name that clients ask for. The most specific route wins.
# routes:
#   - { sni: db.example, to: main }
#   - { sni: "*.db.example", to: main }

# logs:
#   access: stdout                # a line for each connection, when it has ended

admin:
  listen: 127.0.0.1:9900          # metrics and health of weir itself
`;
}

/** The config as TypeScript. */
export function initTypeScript({ listen, endpoints, health }: Answers, template: Template): string {
  const [name, protocol, balance] =
    template === 'tcp' ? ['main', " protocol: 'tcp',", 'least-requests'] : ['web', '', 'power-of-two'];
  return `export default {
  version: 1,
  listeners: {
    ${name}: { listen: ${JSON.stringify(listen)},${protocol} to: '${name}' },
  },
  pools: {
    ${name}: {
      endpoints: ${JSON.stringify(endpoints)},
      balance: '${balance}',
${health === '' ? '' : `      health: ${JSON.stringify(health)},\n`}    },
  },
  admin: { listen: '127.0.0.1:9900' },
};
`;
}
