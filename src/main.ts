// Before this line runs, SIGUSR1 would open Node's debugger; so it comes before every import, and imports here are dynamic.
process.on('SIGUSR1', () => {});

/**
 * main: argv to one command. Only this file reads argv and the environment; each command's module is loaded when it is asked for.
 *
 * Order of what counts: flag, WEIR_* variable, file, default.
 */
await import('./base/boot.ts');
const { Command, Option, CommanderError } = await import('commander');
const { exit, UsageError } = await import('./cli/shell.ts');
const { version } = await import('./cli/version.ts');

type Shell = import('./cli/shell.ts').Shell;
type ExplainOptions = import('./cli/explain.ts').ExplainOptions;
type GetOptions = import('./cli/get.ts').GetOptions;
type DrainOptions = import('./cli/drain.ts').DrainOptions;
type EjectOptions = import('./cli/eject.ts').EjectOptions;
type OrderOptions = import('./cli/drain.ts').OrderOptions;
type SetOptions = import('./cli/set.ts').SetOptions;

const { env, stdout, stderr, stdin } = process;
const shell: Shell = {
  out: (text) => void stdout.write(text),
  err: (text) => void stderr.write(text),
  outIsTerminal: stdout.isTTY === true,
  errIsTerminal: stderr.isTTY === true,
  inIsTerminal: stdin.isTTY === true,
  color: stderr.isTTY === true && !env['NO_COLOR'],
  folder: process.cwd(),
  environment: env,
  version,
};

// A reader that went away (`weir schema | head`) is no error of ours, and no reason for a balancer to die.
stdout.on('error', () => {});
stderr.on('error', () => {});

const repeated = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];
const configOption = () =>
  new Option('-c, --config <file>', 'configuration file, - for stdin; may be repeated').env('WEIR_CONFIG').argParser(repeated);
const workersOption = () => new Option('--workers <number>', 'worker processes, or auto: one per core').env('WEIR_WORKERS');
const engineOption = () =>
  new Option('--engine <engine>', 'how workers talk to the kernel').choices(['auto', 'uring', 'epoll']).env('WEIR_ENGINE');
const adminOption = () => new Option('-a, --admin <address>', 'admin address of the running instance').env('WEIR_ADMIN');

let code: number = exit.done;
/** Makes a commander action of a command: keeps its exit code, and prints wrong usage that only the command could see. */
function action<Options>(load: () => Promise<(options: Options, shell: Shell) => Promise<number>>) {
  return async (options: Options): Promise<void> => {
    const run = await load();
    code = await run(options, shell);
  };
}

const program = new Command('weir')
  .description('weir: a load balancer')
  .version(version, '-V, --version')
  .helpCommand(true)
  .showSuggestionAfterError(true)
  .showHelpAfterError('(weir --help lists the commands, weir COMMAND --help their flags)')
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'weir: ')) })
  .exitOverride();

program
  .command('run')
  .description('run in the foreground')
  .addOption(configOption())
  .addOption(workersOption())
  .addOption(engineOption())
  .option('--watch', 'reload when a configuration file changes')
  .option('--port-fallback', 'when a port is taken, use the next free one')
  .option('--sample-endpoints', 'also start test endpoints on the addresses of the first pool')
  .action(action(async () => (await import('./cli/run.ts')).run));

program
  .command('check')
  .description('check a configuration: needs no root, network or DNS')
  .addOption(configOption())
  .option('--strict', 'warnings fail, too')
  .addOption(new Option('--format <format>', 'how faults are written').choices(['text', 'json', 'github']).default('text'))
  .option('--json', 'the same as --format json')
  .action(action(async () => (await import('./cli/check.ts')).check));

program
  .command('schema')
  .description('print the JSON Schema of the configuration')
  .addOption(new Option('--draft <draft>', 'version of JSON Schema').choices(['7', '2020-12']).default('2020-12'))
  .action(action(async () => (await import('./cli/schema.ts')).schema));

program
  .command('init')
  .description('write a commented weir.yaml to begin with')
  .addOption(
    new Option('--template <template>', 'web: requests; tcp: connections and TLS names').choices(['web', 'tcp']).default('web'),
  )
  .option('-y, --yes', 'ask nothing')
  .option('--ts', 'write weir.config.ts instead')
  .action(action(async () => (await import('./cli/init.ts')).init));

program
  .command('proxy')
  .description('balance without a file')
  .option('--from <address>', 'address to listen on', ':8080')
  .addOption(new Option('--to <address>', 'endpoint; may be repeated').argParser(repeated))
  .option('--tcp', 'pass connections on as they are')
  .option('--udp', 'pass datagrams on; with --tcp both, on the same address')
  .option('--balance <algorithm>', 'how an endpoint is picked')
  .option('--check <path>', 'check endpoints with GET of this path; or tcp, grpc, redis, postgres, mysql')
  .option('--tls-certificate <file>', 'open TLS with this certificate (PEM); reload reads it again')
  .option('--tls-key <file>', 'its key (PEM)')
  .option('--save <file>', 'write the equivalent configuration file')
  .option('--port-fallback', 'when a port is taken, use the next free one')
  .addOption(workersOption())
  .addOption(engineOption())
  .action(action(async () => (await import('./cli/proxy.ts')).proxy));

program
  .command('echo')
  .description('start test endpoints that say who they are')
  .option('-n, --number <number>', 'how many', '1')
  .option('--from <address>', 'address of the first; the others take the next ports (port 0: any)', ':9001')
  .option('--delay <duration>', 'wait before each answer', '0ms')
  .option('--fail <share>', 'share of requests answered 500', '0%')
  .option('--seed <number>', 'of the choice which requests fail', '1')
  .option('--json', 'one JSON line per endpoint when all listen')
  .action(action(async () => (await import('./cli/echo.ts')).echo));

program
  .command('simulate [scenario]')
  .description('what would happen: traffic, failures and changes on a virtual clock')
  .option('--json', 'as JSON')
  .option('--svg <file>', 'also write plots of load and latency over time')
  .addOption(configOption())
  .option('--replay <file>', 'without a scenario: an access log in JSON as traffic for a pool of the configuration')
  .option('--speed <times>', 'replay the log so many times as fast', '1')
  .option('--pool <name>', 'pool that gets the traffic; default: the first')
  .addOption(new Option('--balance <policy>', 'policy; may be repeated to compare').argParser(repeated))
  .addOption(new Option('--kill <endpoint>', 'POOL/ADDRESS that dies half way; may be repeated').argParser(repeated))
  .action(
    async (scenario: string | undefined, options: object) =>
      await action(async () => (await import('./cli/simulate.ts')).simulate)({ ...options, scenario }),
  );

program
  .command('explain')
  .description(
    'say why a request or connection goes where it goes, or with --id what became of one: of the running instance, or with -c of a configuration alone',
  )
  .argument('[request...]', 'METHOD URL, or URL for GET; tcp://HOST:PORT, udp://HOST:PORT')
  .option('--id <id>', 'tell instead what became of the request, or the connection, with this id')
  // Not from WEIR_CONFIG: naming a file is what makes it offline.
  .addOption(new Option('-c, --config <file>', 'explain this configuration instead; may be repeated').argParser(repeated))
  .addOption(new Option('-H, --header <name:value>', 'header field of the request; may be repeated').argParser(repeated))
  .option('--client <address>', 'address of the client', '192.0.2.1')
  .option('--listener <name>', 'listener it comes in at; else by the port of the URL')
  .option('--sni <name>', 'tcp://, https://: the name the TLS client asks for')
  .addOption(
    new Option('--alpn <protocol>', 'tcp://, https://: a protocol the TLS client offers; may be repeated').argParser(repeated),
  )
  .option('--random <number>', 'what every draw of chance yields, 0 to 4294967295')
  .addOption(adminOption())
  .option('--json', 'as JSON')
  .action(async (words: string[], options: Omit<ExplainOptions, 'words'>) => {
    code = await (await import('./cli/explain.ts')).explain({ ...options, words }, shell);
  });

program
  .command('get')
  .description('list objects of the running instance')
  .argument('<kind>', 'pools, endpoints, listeners, certificates, routes, workers, drains, requests, connections or config')
  .argument('[name]', 'only this one')
  .addOption(new Option('-o, --output <format>', 'how').choices(['table', 'wide', 'json']).default('table'))
  .option(
    '--fault',
    'of requests, those answered 5xx, not at all, or by weir because something was wrong; of connections, those with a fault',
  )
  .option('--slow', 'of requests, those whose answer took over a second to begin')
  .option('--open', 'of connections, those that are not over')
  .option('--limit <number>', 'of requests and connections, so many at most, up to 200; 50 if not given')
  .addOption(adminOption())
  .addOption(configOption())
  .option('--json', 'the same as -o json')
  .action(async (kind: string, name: string | undefined, options: Omit<GetOptions, 'kind'>) => {
    code = await (await import('./cli/get.ts')).get({ ...options, kind, name }, shell);
  });

program
  .command('status')
  .description('one screen about the running instance')
  .addOption(adminOption())
  .addOption(configOption())
  .option('--json', 'as JSON')
  .action(action(async () => (await import('./cli/status.ts')).status));

program
  .command('drain')
  .description('empty an endpoint: no new requests, and those under way are finished')
  .argument('<endpoint>', 'POOL/ENDPOINT')
  .option('--wait', 'wait until it is safe to stop; exit with 8 when it is not by the deadline')
  .option('--timeout <duration>', 'deadline, from now, at which connections and upgraded requests are cut; 5m if none is given')
  .option('--no-keep-bound', 'send requests that are bound to it by a cookie elsewhere at once, not at the deadline')
  .option('--reason <text>', 'why, for others to read')
  .addOption(adminOption())
  .addOption(configOption())
  .option('--json', 'as JSON')
  .action(async (endpoint: string, options: Omit<DrainOptions, 'endpoint'>) => {
    code = await (await import('./cli/drain.ts')).drain({ ...options, endpoint }, shell);
  });

for (const [name, description, waits] of [
  ['ready', 'give an endpoint requests again', 'until it takes requests'],
  ['maint', 'take an endpoint out for maintenance: no new requests', 'until nothing is in flight on it'],
] as const) {
  program
    .command(name)
    .description(description)
    .argument('<endpoint>', 'POOL/ENDPOINT')
    .option('--wait', `wait ${waits}`)
    .option('--timeout <duration>', 'how long to wait; then exit with 8', '5m')
    .option('--reason <text>', 'why, for others to read')
    .addOption(adminOption())
    .addOption(configOption())
    .option('--json', 'as JSON')
    .action(async (endpoint: string, options: Omit<OrderOptions, 'endpoint'>) => {
      code = await (await import('./cli/drain.ts'))[name]({ ...options, endpoint }, shell);
    });
}

program
  .command('eject')
  .description('take an endpoint out for a time; it comes back by itself')
  .argument('<endpoint>', 'POOL/ENDPOINT')
  .option('--for <duration>', 'how long, up to 24h; ejectFor of the pool if not given')
  .option('--reason <text>', 'why, for others to read')
  .addOption(adminOption())
  .addOption(configOption())
  .option('--json', 'as JSON')
  .action(async (endpoint: string, options: Omit<EjectOptions, 'endpoint'>) => {
    code = await (await import('./cli/eject.ts')).eject({ ...options, endpoint }, shell);
  });

program
  .command('set')
  .description('change an endpoint at run time')
  .argument('<endpoint>', 'POOL/ENDPOINT')
  .argument('<values...>', 'weight=50%, a share of the configured one')
  .option('--reason <text>', 'why, for others to read')
  .addOption(adminOption())
  .addOption(configOption())
  .option('--json', 'as JSON')
  .action(async (endpoint: string, values: string[], options: Omit<SetOptions, 'endpoint' | 'values'>) => {
    code = await (await import('./cli/set.ts')).set({ ...options, endpoint, values }, shell);
  });

program
  .command('version')
  .description('print the versions of weir, Node.js and the kernel')
  .option('--json', 'as JSON')
  .action(action(async () => (await import('./cli/version.ts')).printVersion));

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) code = error.exitCode === 0 ? exit.done : exit.usage;
  else if (error instanceof UsageError) {
    code = exit.usage;
    shell.err(`weir: ${error.message}\n`);
  } else {
    code = exit.failed;
    shell.err(`weir: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  }
}
// Pipes are written in the background: leave only when what was said has gone out.
stdout.write('', () => stderr.write('', () => process.exit(code)));
