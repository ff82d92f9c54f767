/**
 * Events: what people should know of the system, each with a stable name, a level and fields: a log line, and the recent ones kept for
 * the admin API.
 *
 * On a terminal a line is written for eyes; else it is one JSON object (pino). Under journald (JOURNAL_STREAM) the line begins with
 * its priority, sd-daemon(3). Lines are written in the background: a reader that stands still costs lines, never time.
 */
import { pino } from 'pino';

export type EventLevel = 'info' | 'warn' | 'error';
export type EventFields = Record<string, string | number | boolean | null | undefined>;

export interface SystemEvent {
  /** ms since 1970. */
  readonly time: number;
  readonly level: EventLevel;
  /** Stable name, for filters: worker_died, reloaded, endpoint_down ... */
  readonly event: string;
  readonly text: string;
  readonly fields: EventFields;
}

export interface EventLog {
  info(event: string, text: string, fields?: EventFields): void;
  warn(event: string, text: string, fields?: EventFields): void;
  error(event: string, text: string, fields?: EventFields): void;
  /** The latest, oldest first. */
  recent(): readonly SystemEvent[];
  /** Called for each event from now on. Returns how to stop. */
  subscribe(listener: (event: SystemEvent) => void): () => void;
  /** Writes out what is still to be written. */
  flush(): void;
}

/** Kept for the admin API. */
export const EVENTS_KEPT = 1000;
/** Text waiting for a slow reader of the log; more is dropped. */
const LOG_BYTES_MAX = 1024 * 1024;
const priority: Readonly<Record<EventLevel, string>> = { info: '<6>', warn: '<4>', error: '<3>' };
const paint: Readonly<Record<EventLevel, string>> = { info: '', warn: '\x1b[33m', error: '\x1b[31m' };

export interface EventLogOptions {
  /** For eyes instead of programs. */
  isTerminal: boolean;
  color: boolean;
  isJournal: boolean;
  /** Where lines go; stderr by default. */
  write?: (line: string) => void;
}

/** A text for eyes: "12:00:01 warn  worker 1 (pid 7) died  signal=SIGKILL". */
function lineForEyes(event: SystemEvent, color: boolean): string {
  const time = new Date(event.time).toTimeString().slice(0, 8);
  const fields = Object.entries(event.fields)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' && /[\s"]/.test(value) ? JSON.stringify(value) : value}`)
    .join(' ');
  const level = event.level === 'info' ? '' : `${color ? paint[event.level] : ''}${event.level}${color ? '\x1b[0m' : ''} `;
  return `  ${time} ${level}${event.text}${fields === '' ? '' : `  ${color ? '\x1b[2m' : ''}${fields}${color ? '\x1b[0m' : ''}`}\n`;
}

export function makeEventLog(options: EventLogOptions): EventLog {
  const events: SystemEvent[] = [];
  const listeners = new Set<(event: SystemEvent) => void>();
  const toError = options.write === undefined ? pino.destination({ fd: 2, sync: false, maxLength: LOG_BYTES_MAX }) : null;
  // The reader has gone away: there is nobody to tell.
  toError?.on('error', () => {});
  const write = options.write ?? ((line: string) => void toError!.write(line));
  let level: EventLevel = 'info';
  const logger = pino(
    { base: undefined, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => write(options.isJournal ? priority[level] + line : line) },
  );

  function emit(at: EventLevel, event: string, text: string, fields: EventFields = {}): void {
    const whole: SystemEvent = Object.freeze({ time: Date.now(), level: at, event, text, fields });
    if (events.length >= EVENTS_KEPT) events.shift();
    events.push(whole);
    if (options.isTerminal) write(lineForEyes(whole, options.color));
    else {
      level = at;
      logger[at]({ event, ...fields }, text);
    }
    for (const listener of listeners) listener(whole);
  }
  return {
    info: (event, text, fields) => emit('info', event, text, fields),
    warn: (event, text, fields) => emit('warn', event, text, fields),
    error: (event, text, fields) => emit('error', event, text, fields),
    recent: () => events,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    flush() {
      try {
        toError?.flushSync();
      } catch {
        // The reader has gone away.
      }
    },
  };
}
