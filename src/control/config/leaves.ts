/** Leaves of the schema: values that several parts of the config have. */
import { z } from 'zod';
import {
  CIDR_EXPECTED,
  ENDPOINT_EXPECTED,
  LISTEN_EXPECTED,
  looksLikeAddress,
  readEndpoint,
  readListen,
  readRange,
} from './address.ts';
import { readFieldName, readTemplate, readTextMatch } from './patterns.ts';
import { choice, count, either, named, oneOrMany, text } from './shape.ts';
import {
  bad,
  DURATION_EXPECTED,
  durationHelp,
  good,
  PERCENT_EXPECTED,
  percentHelp,
  type Read,
  readDuration,
  readPercent,
  readSize,
  SIZE_EXPECTED,
  sizeHelp,
} from './units.ts';

/** Names of listeners, pools, filters and routes: letters, digits, . _ - inside; never : or /, which mark addresses. */
export const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$/;

export const duration = (description: string) =>
  text(description, DURATION_EXPECTED, readDuration, {
    pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$',
    examples: ['500ms', '5s', '1m'],
    help: durationHelp,
  });
/** A duration that cannot be 0. */
export const span = (description: string) =>
  text(
    description,
    DURATION_EXPECTED,
    (value) => {
      const read = readDuration(value);
      return read.ok && read.value === 0 ? bad('this duration cannot be 0') : read;
    },
    { pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$', examples: ['500ms', '5s', '1m'], help: durationHelp },
  );
export const size = (description: string, min = 0, max = 2 ** 50) =>
  text(
    description,
    SIZE_EXPECTED,
    (value) => {
      const read = readSize(value);
      return read.ok && (read.value < min || read.value > max) ? bad(`this size is ${min}B to ${sizeText(max)}`) : read;
    },
    { pattern: '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|kB|MB|GB)$', examples: ['32KiB', '20MiB'], help: sizeHelp },
  );
export const percent = (description: string) =>
  text(description, PERCENT_EXPECTED, readPercent, { pattern: '^[0-9]+(\\.[0-9]+)?%$', examples: ['20%'], help: percentHelp });
export const address = text('Address of an endpoint.', ENDPOINT_EXPECTED, readEndpoint, {
  examples: ['10.0.0.1:8080', 'app.internal:8080', 'unix:/run/app.sock'],
  help: endpointHelp,
});
const range = text('Address range, or one of the words private, loopback, all.', CIDR_EXPECTED, readRange, {
  examples: ['10.0.0.0/8', 'private'],
});
export const ranges = (description: string) => oneOrMany(description, range);
export const fieldValue = (description: string) => text(description, 'expected a text', readTemplate, { help: quoteHelp });
export const match = text(
  'Value: exact, a* (prefix), a*b, * (present) or ~regular expression.',
  'expected a text',
  readTextMatch,
  {
    help: quoteHelp,
  },
);
export const fieldName = text('Name of a header field.', 'expected a header field name', readFieldName);
/** Of every guard: does it act, or only say what it would do? */
export const mode = choice(
  'enforce, or shadow: what it would do is counted and said, and not done. Default enforce.',
  ['enforce', 'shadow'],
  {
    foreign: {
      'dry-run': 'shadow',
      dryrun: 'shadow',
      'report-only': 'shadow',
      report: 'shadow',
      observe: 'shadow',
      monitor: 'shadow',
      detect: 'shadow',
      on: 'enforce',
      block: 'enforce',
    },
  },
);
export const zoneName = (description: string) => text(description, 'expected the name of a zone, for example a', readName);
export const poolName = text('Name of a pool.', 'expected the name of a pool', readName);

export function readName(value: string): Read<string> {
  return NAME.test(value) ? good(value) : bad('a name has letters, digits, _ . - and begins and ends with a letter or digit');
}

function quoteHelp(value: unknown): string | undefined {
  return typeof value === 'number' || typeof value === 'boolean' ? `did you mean "${value}"?` : undefined;
}

function endpointHelp(value: unknown): string | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536
    ? `did you mean "127.0.0.1:${value}"?`
    : undefined;
}

export function listenHelp(value: unknown): string | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 65536
    ? `did you mean ":${value}"?`
    : undefined;
}

function sizeText(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 1024],
  ] as const)
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  return `${bytes}B`;
}

const TO_EXPECTED = 'expected the name of a pool, an address, a list of addresses, or pools with weights ({ web: 95, next: 5 })';
export const to = either('Where requests go: a pool, an address, a list of addresses, or pools with weights.', TO_EXPECTED, [
  text('Pool or address.', TO_EXPECTED, (value) => (looksLikeAddress(value) ? readEndpoint(value) : readName(value)), {
    help: endpointHelp,
  }),
  z.array(address).min(1).describe('Addresses of endpoints; they make a pool of their own.'),
  named('Pools with weights.', count('Share of this pool; only the ratio matters.', 0, 1_000_000)),
]);

export const listen = text(
  'Address to listen on. ":8080" is all addresses, IPv4 and IPv6.',
  LISTEN_EXPECTED,
  (value) => (value.startsWith('systemd:') ? good(value) : readListen(value)),
  { examples: [':8080', '127.0.0.1:8080', '[::1]:80', 'unix:/run/weir.sock'], help: listenHelp },
);

export function readCheckPath(value: string): Read<string> {
  return /^\/[\x21-\x7e]*$/.test(value) && !value.includes('#') ? good(value) : bad('expected a path, for example /healthz');
}
