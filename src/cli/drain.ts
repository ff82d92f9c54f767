/**
 * `weir drain`, `weir ready`, `weir maint`: whether an endpoint is given new requests.
 *
 * With --wait the command ends when it is done: for drain when it is safe to stop, for maint when nothing is in flight any more, for ready when it
 * takes requests again. What was ordered stays ordered when the wait is over without.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { leftText } from '../base/counts.ts';
import type { DrainRow } from '../control/admin/drains.ts';
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
/** A drain says by its deadline how it went, and a little later when its last requests have just ended. */
const VERDICT_MS_MAX = 5000;

export interface OrderOptions extends ClientOptions {
  endpoint: string;
  wait?: boolean;
  timeout?: string;
  reason?: string;
}

export interface DrainOptions extends OrderOptions {
  /** false: requests bound by a cookie go elsewhere at once. */
  keepBound?: boolean;
}

export const ready = (options: OrderOptions, shell: Shell): Promise<number> => order('ready', options, shell);
export const maint = (options: OrderOptions, shell: Shell): Promise<number> => order('maint', options, shell);

export function drain(options: DrainOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    // Wrong usage is found before anything is asked.
    if (options.timeout !== undefined) duration(options.timeout);
    const client = await clientOf(options, shell);
    const { pool, address } = await findEndpoint(client, options.endpoint);
    const { reason, timeout } = options;
    const keepBound = options.keepBound === false ? false : undefined;
    const asked = { reason, timeout, keepBound };
    const { readyInPool, ...first } = (await client.post(`${endpointPath(pool, address)}/drain`, asked)) as DrainRow & {
      readyInPool: number;
    };
    if (readyInPool === 0) warnLast(shell, pool);
    const name = printable(`${pool}/${address}`);
    const beganMs = performance.now();
    const row = options.wait ? await untilDrained(client, name, first, shell) : first;
    const seconds = (performance.now() - beganMs) / 1000;
    if (options.json) shell.out(JSON.stringify({ ...row, ...(options.wait ? { waitedSeconds: seconds } : {}) }, null, 2) + '\n');
    else shell.out(options.wait ? drainVerdict(name, row, seconds) : drainText(name, row));
    return options.wait && row.state !== 'done' ? exit.no : exit.done;
  });
}

async function untilDrained(client: Client, name: string, first: DrainRow, shell: Shell): Promise<DrainRow> {
  const talk = new Talk(shell);
  const waitMs = Math.max(0, Date.parse(first.deadline) - Date.now()) + VERDICT_MS_MAX;
  const endMs = performance.now() + waitMs;
  let row = first;
  while (row.state === 'draining' && performance.now() < endMs) {
    talk.say(`${name}: ${progressText(row)}`);
    await pause(POLL_MS);
    row = (await client.get(`/api/v1/drains/${row.id}`)) as DrainRow;
  }
  talk.clear();
  return row;
}

/** "3 requests and 1 tunnel left, about 12s". */
function progressText({ remaining, deadline, keepsBound, etaSeconds }: DrainRow): string {
  const left = `${leftText(remaining)} left`;
  if (etaSeconds !== null && etaSeconds > 0) return `${left}, about ${spanText(etaSeconds)}`;
  const isEmpty = remaining.requests + remaining.tunnels === 0;
  const untilText = spanText((Date.parse(deadline) - Date.now()) / 1000);
  return isEmpty && keepsBound ? `${left}, clients bound to it by a cookie may come for ${untilText}` : left;
}

function drainText(name: string, row: DrainRow): string {
  const { id, state, deadline, isSafeToStop } = row;
  if (isSafeToStop) return `${name} drains and is safe to stop (drain ${id})\n`;
  if (state === 'overdue')
    return `${name} is overdue, ${leftText(row.remaining)} left; --timeout gives it more time (drain ${id})\n`;
  return `${name} drains, ${leftText(row.remaining)} left, deadline in ${spanText((Date.parse(deadline) - Date.now()) / 1000)} (drain ${id})\n`;
}

function drainVerdict(name: string, row: DrainRow, seconds: number): string {
  const after = spanText(seconds);
  switch (row.state) {
    case 'done':
      return `${name} drains and is safe to stop after ${after}${row.cut > 0 ? `, ${row.cut} cut at the deadline` : ''}\n`;
    case 'cancelled':
      return `${name} drains no more: somebody else changed it after ${after}\n`;
    default:
      return `${name} drains, still ${leftText(row.remaining)} left after ${after}; stopping it cuts them\n`;
  }
}

function warnLast(shell: Shell, pool: string): void {
  shell.err(`weir: pool ${printable(pool)} has no other endpoint that takes requests: new ones are refused\n`);
}

type State = 'ready' | 'maint';

function order(to: State, options: OrderOptions, shell: Shell): Promise<number> {
  return withFaults(shell, async () => {
    const limitMs = duration(options.timeout ?? TIMEOUT_DEFAULT);
    const client = await clientOf(options, shell);
    const { pool, address } = await findEndpoint(client, options.endpoint);
    const path = endpointPath(pool, address);
    const changed = (await client.post(`${path}/${to}`, { reason: options.reason })) as ChangedRow;
    const name = printable(`${pool}/${address}`);
    if (to === 'maint' && changed.readyInPool === 0) warnLast(shell, pool);
    let now: EndpointRow = changed;
    let isDone = true;
    const beganMs = performance.now();
    if (options.wait) ({ now, isDone } = await untilThere(to, client, path, name, changed, limitMs, shell));
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
    if (takesTraffic(now)) return `${name} is ready\n`;
    return `${name} is ${state}${reason === null ? '' : `: ${printable(reason)}`}\n`;
  }
  if (!hasWaited) return `${name} is in maintenance, ${left}\n`;
  if (isDone) return `${name} is in maintenance and is safe to stop after ${spanText(seconds)}\n`;
  if (now.status.state !== to) return `${name} is ${now.status.state} again, ${left}: somebody else changed it\n`;
  return `${name} is in maintenance, still ${left} after ${spanText(seconds)}\n`;
}

/** One that starts slowly takes requests already. */
function takesTraffic({ status }: EndpointRow): boolean {
  return status.state === 'ready' || status.state === 'slow-start';
}

/** Looks at an endpoint until it is as wanted, and says how far it is. */
async function untilThere(
  to: State,
  client: Client,
  path: string,
  name: string,
  first: EndpointRow,
  limitMs: number,
  shell: Shell,
): Promise<{ now: EndpointRow; isDone: boolean }> {
  const talk = new Talk(shell);
  const endMs = performance.now() + limitMs;
  let now = first;
  // A worker that picked at the moment of the order counts its request a moment later: the order has to be a poll old.
  for (let looks = 0; ; looks++) {
    if (looks > 0) now = (await client.get(path)) as EndpointRow;
    const isThere = to === 'ready' ? takesTraffic(now) : now.inFlight === 0;
    const isRevoked = to !== 'ready' && now.status.state !== to;
    if (isRevoked || (isThere && looks > 0) || performance.now() >= endMs) {
      talk.clear();
      return { now, isDone: isThere && !isRevoked };
    }
    const { state, reason } = now.status;
    const word = to === 'ready' ? `${state}${reason === null ? '' : `: ${printable(reason)}`}` : `${now.inFlight} in flight`;
    if (!isThere) talk.say(`${name}: ${word}`);
    await pause(POLL_MS);
  }
}

/** One line that changes on a terminal, and lines now and then on what is none. */
class Talk {
  private readonly shell: Shell;
  private said = '';
  private saidMs = Number.NEGATIVE_INFINITY;

  constructor(shell: Shell) {
    this.shell = shell;
  }

  say(line: string): void {
    const { shell } = this;
    if (line === this.said) return;
    if (shell.errIsTerminal) shell.err(`\r\x1b[K${line}`);
    else if (performance.now() - this.saidMs < SAY_MS_MIN) return;
    else shell.err(`${line}\n`);
    this.said = line;
    this.saidMs = performance.now();
  }

  clear(): void {
    if (this.said !== '' && this.shell.errIsTerminal) this.shell.err('\r\x1b[K');
  }
}
