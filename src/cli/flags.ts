/** Values of flags that carry a unit. Each throws a {@link UsageError} that says what was expected. */
import { isIP } from 'node:net';
import { UsageError } from './shell.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const unitBytes: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, k: 1000, m: 1e6 };

/** "20ms", "1.5s" in ms. */
export function duration(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (parts === null) throw new UsageError(`expected a duration with a unit, for example 20ms or 2s, not '${text}'`);
  return Number(parts[1]) * unitMs[parts[2]!]!;
}

/** "5%" as 0.05. */
export function share(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)%$/.exec(text);
  const value = parts === null ? Number.NaN : Number(parts[1]) / 100;
  if (!(value <= 1)) throw new UsageError(`expected a share from 0% to 100%, not '${text}'`);
  return value;
}

/** "16384", "16KiB" in bytes; null when it is no size. */
export function bytes(text: string): number | null {
  const parts = /^(\d{1,12})(KiB|MiB|GiB|k|m)?$/.exec(text);
  return parts === null ? null : Number(parts[1]) * unitBytes[parts[2] ?? '']!;
}

/** A whole number from `min` to `max`. */
export function count(text: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new UsageError(`expected a whole number from ${min} to ${max}, not '${text}'`);
  return value;
}

/** ":9001" (IPv4 loopback for test endpoints), "127.0.0.1:9001", "[::1]:9001", "9001". */
export function localAddress(text: string): { host: string; port: number } {
  const parts = /^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+|localhost)?:)?(\d{1,5})$/.exec(text);
  const port = parts === null ? Number.NaN : Number(parts[2]);
  if (!(port <= 65535)) throw new UsageError(`expected an address, for example :9001 or 127.0.0.1:9001, not '${text}'`);
  const written = parts![1] ?? '127.0.0.1';
  const host = written === 'localhost' ? '127.0.0.1' : written.replace(/^\[|\]$/g, '');
  if (isIP(host) === 0) throw new UsageError(`'${host}' is no IP address`);
  return { host, port };
}
