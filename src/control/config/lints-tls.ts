/** Lints of TLS that is opened here: certificates, and the hosts they are to cover. */
import { CertificateNames } from '../../base/certificate-names.ts';
import { type CertificatePlan, isByName, type ListenerPlan, type Plan, type RoutePlan } from '../../state/plan.ts';
import { lifeOf, lifeText } from '../certificate-life.ts';
import type { ReadCertificate } from './certificates.ts';
import type { LintInput, Warn } from './lints.ts';

export function lintTls(input: LintInput, warn: Warn): void {
  if (input.certificates.size === 0) return;
  const used = new Set(input.plan.certificates.map(({ name }) => name));
  for (const [name, certificate] of input.certificates) {
    if (!used.has(name)) warn(['certificates', name], 'certificate-unused', `no listener uses certificate ${name}`);
    lintCertificate(name, certificate, input.now, warn);
  }
  for (const listener of input.plan.listeners) {
    if (listener.tls === null) continue;
    lintClashes(listener, input, warn);
    const { name, protocol, streams } = listener;
    if (protocol === 'tcp' && streams.length > 0 && streams.every(isByName))
      warn(
        ['listeners', name],
        'no-route',
        `listener ${name} resets every connection that it opens: routes by sni and alpn take theirs unopened`,
        'add to: and the name of a pool',
      );
  }
  lintHosts(input, warn);
}

function lintCertificate(name: string, { chain, notices }: ReadCertificate, now: number, warn: Warn): void {
  const path = ['certificates', name, 'files'];
  for (const { key, code, message, help } of notices) warn([...path, key], code, message, help);
  chain.forEach((certificate, at) => {
    const life = { notBeforeMs: certificate.validFromDate.getTime(), notAfterMs: certificate.validToDate.getTime() };
    const state = lifeOf(life, now);
    if (state === 'good') return;
    const what = at === 0 ? `certificate ${name}` : `certificate ${name}: number ${at + 1} of its chain`;
    warn(
      [...path, 'certificate'],
      state === 'soon' ? 'certificate-expires' : 'certificate-expired',
      `${what} ${lifeText(life, now)}`,
      state === 'early' ? 'is the clock of this machine right?' : 'put a new one in its place, then weir reload',
    );
  });
}

/** Of two that fit the same name and have the same kind of key, the second is never given to whoever asks for the name. */
function lintClashes(listener: ListenerPlan, { plan, config, certificates, placeOf }: LintInput, warn: Warn): void {
  const { name } = listener;
  const written = config.listeners[name]!.tls;
  const isMap = typeof written === 'object' && !Array.isArray(written);
  const path = ['listeners', name, 'tls', ...(isMap ? ['certificates'] : [])];
  const first = new Map<string, string>();
  for (const certificate of certificatesAt(listener, plan)) {
    const { keyKind } = certificates.get(certificate.name)!;
    const clash = certificate.names.find((host) => first.has(`${keyKind} ${host}`));
    for (const host of certificate.names) {
      const key = `${keyKind} ${host}`;
      if (!first.has(key)) first.set(key, certificate.name);
    }
    if (clash === undefined) continue;
    const winner = first.get(`${keyKind} ${clash}`)!;
    warn(
      path,
      'certificate-clash',
      `listener ${name}: certificates ${winner} and ${certificate.name} are both for ${clash}, with the same kind of key; the first is given`,
      null,
      { message: 'the other is at', place: placeOf(['certificates', certificate.name]) },
    );
  }
}

/** Hosts of routes that can only be reached by TLS, and that no certificate there is for: browsers would refuse them. */
function lintHosts({ plan, origins }: LintInput, warn: Warn): void {
  const told = new Set<string>();
  const names = new Map(plan.listeners.map((listener) => [listener, new CertificateNames(certificatesAt(listener, plan))]));
  for (const route of plan.routes) {
    const origin = origins.get(route);
    const { host } = route.match;
    if (origin === undefined || host === null) continue;
    const listeners = listenersOf(route, plan);
    if (listeners.length === 0 || listeners.some(({ tls }) => tls === null)) continue;
    const shown = host.wildcard ? `*.${host.value}` : host.value;
    // Of a host with a wildcard, one for any name that it stands for is enough.
    const isCovered = host.wildcard
      ? listeners.some((listener) =>
          certificatesAt(listener, plan).some((each) => each.names.some((name) => name.endsWith(`.${host.value}`))),
        )
      : listeners.some((listener) => names.get(listener)!.find(host.value).length > 0);
    if (isCovered || told.has(shown)) continue;
    told.add(shown);
    const where = listeners.map(({ name }) => name).join(', ');
    warn(['routes', String(origin), 'host'], 'host-uncovered', `no certificate of listener ${where} is for ${shown}`);
  }
}

/** Those that serve a route, and do not only redirect. */
function listenersOf({ listeners }: RoutePlan, plan: Plan): ListenerPlan[] {
  return plan.listeners.filter(
    ({ protocol, redirectToHttps }, index) =>
      (protocol === 'http' || protocol === 'auto') && !redirectToHttps && (listeners === null || listeners.includes(index)),
  );
}

function certificatesAt({ tls }: ListenerPlan, plan: Plan): CertificatePlan[] {
  return tls === null ? [] : tls.certificates.map((index) => plan.certificates[index]!);
}
