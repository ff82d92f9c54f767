/** Durations, sizes, rates and shares: a number with its unit, always. */

/** A value read from text, or what was expected instead. */
export type Read<T> = { ok: true; value: T } | { ok: false; message: string; help?: string };

export function good<T>(value: T): Read<T> {
  return { ok: true, value };
}

export function bad<T>(message: string, help?: string): Read<T> {
  return { ok: false, message, help };
}

/** Longest duration: timers count ms in 32 bits (24.8 days). */
export const DURATION_MS_MAX = 2_147_483_647;

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
export const DURATION_EXPECTED = 'expected a duration with a unit, for example 500ms, 5s or 1m';

/** "500ms", "1.5s", "1m30s" to ms. */
export function readDuration(text: string): Read<number> {
  const part = /([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/y;
  let ms = 0;
  let at = 0;
  let unitBefore = Number.POSITIVE_INFINITY;
  while (at < text.length) {
    part.lastIndex = at;
    const found = part.exec(text);
    const unit = found ? durationUnits[found[2]] : 0;
    // Units fall from left to right, as people write them: 1m30s, not 30s1m.
    if (!found || unit >= unitBefore) return bad(DURATION_EXPECTED, durationHelp(text));
    ms += Number(found[1]) * unit;
    unitBefore = unit;
    at = part.lastIndex;
  }
  if (at === 0) return bad(DURATION_EXPECTED);
  ms = Math.round(ms);
  if (ms > DURATION_MS_MAX) return bad('a duration can be 24d at most');
  return good(ms);
}

/** What a number without a unit probably means. */
export function durationHelp(value: unknown): string | undefined {
  const text = String(value).trim();
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return `did you mean ${Number(text) >= 100 ? `${text}ms` : `${text}s`}?`;
  const found =
    /^([0-9]+(?:\.[0-9]+)?)\s*(ms|msec|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|hrs?|d|days?)$/i.exec(
      text,
    );
  if (!found) return undefined;
  const word = found[2].toLowerCase();
  const unit = word.startsWith('ms') || word.startsWith('mil') ? 'ms' : word[0];
  return `did you mean ${found[1]}${unit}?`;
}

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
};
export const SIZE_EXPECTED = 'expected a size with a unit, for example 512B, 32KiB or 20MiB';

/** "32KiB" to bytes. */
export function readSize(text: string): Read<number> {
  const found = /^([0-9]+(?:\.[0-9]+)?)(B|KiB|MiB|GiB|kB|MB|GB)$/.exec(text);
  if (!found) return bad(SIZE_EXPECTED, sizeHelp(text));
  const bytes = Math.round(Number(found[1]) * sizeUnits[found[2]]);
  if (bytes > 2 ** 50) return bad('a size can be 1048576GiB at most');
  return good(bytes);
}

export function sizeHelp(value: unknown): string | undefined {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)$/.exec(String(value).trim());
  if (!found) return undefined;
  const number = Number(found[1]);
  const letter = found[2].toLowerCase()[0] ?? '';
  if (letter === '') {
    if (number >= 1024 ** 2 && number % 1024 ** 2 === 0) return `did you mean ${number / 1024 ** 2}MiB?`;
    if (number >= 1024 && number % 1024 === 0) return `did you mean ${number / 1024}KiB?`;
    return `did you mean ${found[1]}B?`;
  }
  const unit = { b: 'B', k: 'KiB', m: 'MiB', g: 'GiB' }[letter];
  return unit ? `did you mean ${found[1]}${unit}?` : undefined;
}

export const BYTE_RATE_EXPECTED = 'expected bytes in a time, for example 240B/s or 1KiB/s';

/** "240B/s" to bytes a second. */
export function readByteRate(text: string): Read<number> {
  const found = /^([^/]+)\/(s|m|h)$/.exec(text);
  const size = found ? readSize(found[1]) : null;
  if (!found || !size?.ok) {
    const help = size && !size.ok ? size.help : sizeHelp(text);
    return bad(BYTE_RATE_EXPECTED, help?.replace('?', `/${found?.[2] ?? 's'}?`));
  }
  return good(size.value / (durationUnits[found[2]] / 1000));
}

export interface Rate {
  requests: number;
  windowMs: number;
}

export const RATE_EXPECTED = 'expected requests in a time, for example 100/s, 10/m or 1000/h';

/** "10/m" to 10 requests in 60,000 ms. */
export function readRate(text: string): Read<Rate> {
  const found = /^([0-9]{1,12})\/(s|m|h)$/.exec(text);
  if (!found) return bad(RATE_EXPECTED, rateHelp(text));
  const requests = Number(found[1]);
  return requests === 0
    ? bad('a rate is at least 1', 'to refuse all, use access')
    : good({ requests, windowMs: durationUnits[found[2]] });
}

/** The burst of a rate that has none of its own: what comes in a second. */
export function burstOf({ requests, windowMs }: Rate): number {
  return Math.max(1, Math.ceil((requests * 1000) / windowMs));
}

/** What another way to write a rate means: 100, 100r/s, 100 per minute, 0.5/s. */
export function rateHelp(value: unknown): string | undefined {
  const found =
    /^([0-9]+(?:\.[0-9]+)?)\s*(?:r|rps|reqs?|requests?)?\s*(?:(?:\/|per)\s*)?(s|m|h|sec|second|min|minute|hour)?$/i.exec(
      String(value).trim(),
    );
  if (!found) return undefined;
  let number = Number(found[1]);
  const units = ['s', 'm', 'h'];
  let unit = units.indexOf((found[2] ?? 's')[0].toLowerCase());
  while (!Number.isInteger(number) && unit < 2) {
    number = Math.round(number * 60 * 1e6) / 1e6;
    unit++;
  }
  return Number.isInteger(number) && number > 0 ? `did you mean ${number}/${units[unit]}?` : undefined;
}

export const PERCENT_EXPECTED = 'expected a percentage, for example 20%';

/** "20%" to 0.2. */
export function readPercent(text: string): Read<number> {
  const found = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(text);
  if (!found) return bad(PERCENT_EXPECTED, percentHelp(text));
  const share = Number(found[1]) / 100;
  return share > 1 ? bad('a percentage can be 100% at most') : good(share);
}

export function percentHelp(value: unknown): string | undefined {
  const text = String(value).trim();
  if (!/^[0-9]+(\.[0-9]+)?$/.test(text)) return undefined;
  const number = Number(text);
  if (number > 0 && number < 1) return `did you mean ${Number((number * 100).toPrecision(6))}%?`;
  return number <= 100 ? `did you mean ${text}%?` : undefined;
}

/** Ms as a config writes them: 90000 is "1m30s". */
export function durationText(ms: number): string {
  if (ms === 0) return '0s';
  let rest = ms;
  let out = '';
  for (const unit of ['h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / durationUnits[unit]);
    if (count > 0) out += `${count}${unit}`;
    rest -= count * durationUnits[unit];
  }
  return out;
}
