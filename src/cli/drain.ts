/**
 * `weir drain`, `weir ready`, `weir maint`: whether an endpoint is given new requests.
 *
 * With --wait the command ends when it is done: for drain and maint when nothing is in flight any more, for ready when it takes
 * requests again. What was ordered stays ordered when the wait is over without.
 */
import { setTimeout as pause } from 'node:timers/promises';
import {
  type ChangedRow,
  type Client,
  type ClientOptions,
  clientOf,
  type EndpointRow,
  endpointPath,
  findEndpoint,
  withFaults,
} from './client.ts';
import { printable, spanText } from './columns.ts';
import { duration } from './flags.ts';
import { exit, type Shell } from './shell.ts';

/** How often the live count is asked for. */
const POLL_MS = 100;
/** On what is no terminal the count is said so often at most. */
const SAY_MS_MIN = 1000;
const TIMEOUT_DEFAULT = '5m';

export interface DrainOptions extends ClientOptions {
  endpoint: string;
  wait?: boolean;
  timeout?: string;
  reason?: string;
}

export const drain = (options: DrainOptions, shell: Shell): Promise<number> => order('drain', options, shell);
export const ready = (options: DrainOptions, shell: Shell): Promise<number> => order('ready', options, shell);
export const maint = (options: DrainOptions, shell: Shell): Promise<number> => order('maint', options, shell);

type State = 'drain' | 'ready' | 'maint';

function order(to: State, options: DrainOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    const limitMs = duration(options.timeout ?? TIMEOUT_DEFAULT);
    const client = await clientOf(options, shell);
    const { pool, address } = await findEndpoint(client, options.endpoint);
    const path = endpointPath(pool, address);
    const changed = (await client.post(`${path}/${to}`, { reason: options.reason })) as ChangedRow;
    const name = printable(`${pool}/${address}`);
    if (to !== 'ready' && changed.readyInPool === 0)
      shell.err(`weir: pool ${printable(pool)} has no other endpoint that takes requests: new ones are answered 503\n`);
    let now: EndpointRow = changed;
    let isDone = true;
    const beganMs = performance.now();
    if (options.wait) {
      const watch = new Watch(to, name, shell);
      ({ now, isDone } = await watch.until(client, path, changed, limitMs));
    }
    const seconds = (performance.now() - beganMs) / 1000;
    if (options.json)
      shell.out(JSON.stringify({ ...now, ...(options.wait ? { isDone, waitedSeconds: seconds } : {}) }, null, 2) + '\n');
    else shell.out(verdict(to, name, now, options.wait === true, isDone, seconds));
    return isDone ? exit.done : exit.no;
  });
}

function verdict(to: State, name: string, now: EndpointRow, hasWaited: boolean, isDone: boolean, seconds: number): string {
  const left = `${now.inFlight} in flight`;
  if (to === 'ready') {
    const { state, reason } = now.status;
    if (state === 'ready') return `${name} is ready\n`;
    return `${name} is ${state}${reason === null ? '' : `: ${printable(reason)}`}\n`;
  }
  const word = to === 'drain' ? 'drains' : 'is in maintenance';
  if (!hasWaited) return `${name} ${word}, ${left}\n`;
  if (isDone) return `${name} ${word} and is safe to stop after ${spanText(seconds)}\n`;
  if (now.status.state !== to) return `${name} is ${now.status.state} again, ${left}: somebody else changed it\n`;
  return `${name} ${word}, still ${left} after ${spanText(seconds)}\n`;
}

/** Looks at an endpoint until it is as wanted, and says how far it is. */
class Watch {
  private readonly to: State;
  private readonly name: string;
  private readonly shell: Shell;
  private said = '';
  private saidMs = Number.NEGATIVE_INFINITY;

  constructor(to: State, name: string, shell: Shell) {
    this.to = to;
    this.name = name;
    this.shell = shell;
  }

  async until(client: Client, path: string, first: EndpointRow, limitMs: number): Promise<{ now: EndpointRow; isDone: boolean }> {
    const endMs = performance.now() + limitMs;
    let now = first;
    // A worker that picked at the moment of the order counts its request a moment later: the order has to be a poll old.
    for (let looks = 0; ; looks++) {
      if (looks > 0) now = (await client.get(path)) as EndpointRow;
      const isThere = this.to === 'ready' ? now.status.state === 'ready' : now.inFlight === 0;
      const isRevoked = this.to !== 'ready' && now.status.state !== this.to;
      if (isRevoked || (isThere && looks > 0) || performance.now() >= endMs) {
        this.clear();
        return { now, isDone: isThere && !isRevoked };
      }
      if (!isThere) this.say(now);
      await pause(POLL_MS);
    }
  }

  private say(now: EndpointRow): void {
    const { shell } = this;
    const { state, reason } = now.status;
    const text = this.to === 'ready' ? `${state}${reason === null ? '' : `: ${printable(reason)}`}` : `${now.inFlight} in flight`;
    const line = `${this.name}: ${text}`;
    if (line === this.said) return;
    if (shell.errIsTerminal) shell.err(`\r\x1b[K${line}`);
    else if (performance.now() - this.saidMs < SAY_MS_MIN) return;
    else shell.err(`${line}\n`);
    this.said = line;
    this.saidMs = performance.now();
  }

  private clear(): void {
    if (this.said !== '' && this.shell.errIsTerminal) this.shell.err('\r\x1b[K');
  }
}
