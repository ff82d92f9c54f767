/**
 * Replay: the JSON access log of the data plane as arrivals. A line is one request: when it came, who asked, how long the endpoint took.
 *
 * Arrival is `time` (the first byte). The service time is `t_first`, from the request sent to the endpoint's head, less nothing: time in the endpoint's own
 * queue is part of it, so a log of an overloaded endpoint replays slower than it is.
 */
import type { ReplayedRequest } from './scenario.ts';

/** What of a line is the key. */
export const replayKeys = Object.freeze(['client', 'path', 'host'] as const);
export type ReplayKey = (typeof replayKeys)[number];

export interface Replay {
  requests: ReplayedRequest[];
  /** Lines that are no JSON object with a time. */
  unreadable: number;
  /** Lines of other pools. */
  others: number;
}

/** `pool`: only its lines are taken, and those that name none. */
export function readReplay(text: string, pool: string, key: ReplayKey): Replay {
  const found: { at: number; key: string; serviceMs: number }[] = [];
  let unreadable = 0;
  let others = 0;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const fields = objectOf(line);
    const at = typeof fields?.['time'] === 'string' ? Date.parse(fields['time']) + microseconds(fields['time']) : Number.NaN;
    if (fields === null || Number.isNaN(at)) unreadable++;
    else if (typeof fields['pool'] === 'string' && fields['pool'] !== pool) others++;
    else found.push({ at, key: keyOf(fields, key), serviceMs: secondsOf(fields['t_first']) * 1000 });
  }
  // Lines are written when requests end.
  found.sort((a, b) => a.at - b.at);
  const start = found[0]?.at ?? 0;
  return { requests: found.map(({ at, ...rest }) => ({ atMs: at - start, ...rest })), unreadable, others };
}

function objectOf(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Of a time with six decimals those that Date.parse drops, in ms. */
function microseconds(time: string): number {
  const digits = /\.\d{3}(\d{3})/.exec(time);
  return digits === null ? 0 : Number(digits[1]) / 1000;
}

function secondsOf(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : -1;
}

function keyOf(fields: Record<string, unknown>, key: ReplayKey): string {
  const value = fields[key];
  if (typeof value !== 'string') return '';
  if (key !== 'client') return value;
  // The port of a client is another one on each connection. An IPv6 address without brackets has none.
  const found = /^\[([^\]]*)\](?::\d+)?$/.exec(value) ?? /^([^:]*):\d+$/.exec(value);
  return found === null ? value : found[1]!;
}
