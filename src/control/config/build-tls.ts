/** TLS of a listener, from config to plan. */
import type { TlsListenerPlan } from '../../state/plan.ts';
import type { Builder } from './build.ts';
import type { ListenerKind } from './kinds.ts';
import type { ListenerConfig } from './schema.ts';
import { readVersion } from './schema-tls.ts';
import { listOf, ms, must } from './values.ts';

/** Some 60 KB each: 60 MB. More than a core can keep going, unless clients take half a second to answer. */
const HANDSHAKES_MAX = 1024;

export function buildTls({ tls: written, limits }: ListenerConfig, kind: ListenerKind, builder: Builder): TlsListenerPlan | null {
  if (written === undefined) return null;
  const isMap = typeof written === 'object' && !Array.isArray(written);
  const settings = isMap ? written : {};
  const named = isMap ? settings.certificates : written === true ? undefined : written;
  const names = named === undefined ? Object.keys(builder.config.certificates ?? {}) : listOf(named);
  return {
    // All are there, or none was to be read.
    certificates: names.filter((name) => builder.options.certificates.has(name)).map((name) => builder.certificateIndex(name)),
    minVersion: settings.minVersion === undefined ? '1.2' : must(readVersion(settings.minVersion)),
    alpn: settings.alpn === undefined ? (kind === 'tcp' ? [] : ['http/1.1']) : listOf(settings.alpn),
    strictSni: settings.strictSni ?? false,
    handshakeMs: ms(settings.handshakeTimeout, 10_000),
    handshakesMax: limits?.handshakes ?? HANDSHAKES_MAX,
  };
}
