/** `weir explain METHOD URL`: why a request, or a connection, goes where it goes; of the running instance, or with -c of a configuration alone. */
import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { formatFaults, loadConfig } from '../control/config/config.ts';
import {
  CLIENT_DEFAULT,
  connectionStoryText,
  type ExplainRequest,
  type Explanation,
  explain as explainIn,
  explainRequest,
  explanationText,
  offlineParts,
  type StreamExplanation,
  storyText,
  type Traces,
} from '../control/explain/explain.ts';
import { type Client, ClientFault, type ClientOptions, clientOf, withFaults } from './client.ts';
import { exit, type Shell } from './shell.ts';

export interface ExplainOptions extends ClientOptions {
  /** METHOD URL, or URL alone for GET; none with `id`. */
  words: string[];
  /** Of a request, a connection or datagrams: from the log, or from an answer's x-request-id. */
  id?: string;
  header?: string[];
  client?: string;
  listener?: string;
  /** Of a client hello (tcp://HOST:PORT, https://HOST/). */
  sni?: string;
  alpn?: string[];
  random?: string;
}

export function explain(options: ExplainOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    if (options.id !== undefined) return await tell(options.id, options, shell);
    const request = requestOf(options);
    const { config } = options;
    const explanation =
      config === undefined || config.length === 0
        ? ((await (await running(options, shell)).post('/api/v1/explain', request)) as Explanation | StreamExplanation)
        : await offline(request, config, shell);
    shell.out(options.json ? JSON.stringify(explanation, null, 2) + '\n' : explanationText(explanation));
    return exit.done;
  });
}

/** What became of a request, a connection or datagrams: of all that had this id, the latest first. */
async function tell(id: string, options: ExplainOptions, shell: Shell): Promise<number> {
  const { words, config = [] } = options;
  if (words.length > 0) throw new ClientFault(exit.usage, 'expected --id ID or METHOD URL, not both');
  if (config.length > 0) throw new ClientFault(exit.usage, 'a configuration remembers nothing: --id asks the running instance');
  const client = await running(options, shell);
  const traces = (await client.get(`/api/v1/explain/${encodeURIComponent(id)}`)) as Traces;
  const texts = [...traces.requests.map(storyText), ...traces.connections.map(connectionStoryText)];
  shell.out(options.json ? JSON.stringify(traces, null, 2) + '\n' : texts.join('\n'));
  if (traces.silent.length > 0) shell.err(`weir: worker ${traces.silent.join(', ')} did not answer\n`);
  return exit.done;
}

/** Here WEIR_CONFIG only tells where the instance is: a file has to be named to be explained instead. */
function running({ admin }: ExplainOptions, shell: Shell): Promise<Client> {
  const named = shell.environment['WEIR_CONFIG'];
  return clientOf({ admin, config: named ? [named] : undefined }, shell);
}

async function offline(
  request: ExplainRequest,
  config: readonly string[],
  shell: Shell,
): Promise<Explanation | StreamExplanation> {
  const paths = config.map((path) =>
    path === '-' || resolve(path) === resolve(shell.folder, path) ? path : resolve(shell.folder, path),
  );
  const { plan, faults } = await loadConfig(paths, { env: shell.environment });
  if (plan === null)
    throw new ClientFault(exit.configInvalid, `the configuration has errors\n${formatFaults(faults, { color: shell.color })}`);
  const parts = offlineParts(plan);
  const explained = explainIn(parts.plan, parts.table, request, {
    draw: () => randomInt(2 ** 32),
    why: () => null,
    note: 'no instance was asked: every endpoint is taken for ready and idle',
  });
  if (typeof explained === 'string') throw new ClientFault(exit.noSuchObject, explained);
  return explained;
}

function requestOf(options: ExplainOptions): ExplainRequest {
  const { words, header = [], client = CLIENT_DEFAULT, listener, sni = null, alpn = [], random } = options;
  const [first, second, ...more] = words;
  if (first === undefined) throw new ClientFault(exit.usage, 'expected METHOD URL, or --id ID');
  if (more.length > 0) throw new ClientFault(exit.usage, `expected METHOD URL, not '${words.join(' ')}'`);
  const [method, url] = second === undefined ? ['GET', first] : [first, second];
  const headers = header.map((line) => {
    const at = line.indexOf(':');
    if (at < 1) throw new ClientFault(exit.usage, `expected a header field, for example -H accept:text/html, not '${line}'`);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
  const number = random === undefined ? null : /^\d{1,10}$/.test(random) ? Number(random) : Number.NaN;
  const request = explainRequest({ method, url, headers, client, listener: listener ?? null, sni, alpn, random: number });
  if (typeof request === 'string') throw new ClientFault(exit.usage, request);
  return request;
}
