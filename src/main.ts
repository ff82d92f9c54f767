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
  .action(action(async () => (await import('./cli/init.ts')).init));

program
  .command('proxy')
  .description('balance without a file')
  .option('--from <address>', 'address to listen on', ':8080')
  .addOption(new Option('--to <address>', 'endpoint; may be repeated').argParser(repeated))
  .option('--balance <algorithm>', 'how an endpoint is picked')
  .option('--check <path>', 'check endpoints with GET of this path')
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
