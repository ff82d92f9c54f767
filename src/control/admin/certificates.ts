/** Certificates as the admin API tells of them: whose, how long, where. Their keys are told to nobody. */
import type { CertificatePlan } from '../../state/plan.ts';
import { type Life, lifeOf, lifeText } from '../certificate-life.ts';
import type { ControlState } from './control-state.ts';
import type { Families } from './families.ts';
import type { Trouble } from './troubles.ts';

const DAY_MS = 86_400_000;
const stateNames: Readonly<Record<Life, string>> = {
  early: 'not-yet-valid',
  good: 'valid',
  soon: 'expires-soon',
  over: 'expired',
};

/** Those that listeners use. */
export function certificatesOf(state: ControlState, nowMs: number) {
  const plan = state.plan();
  return (plan?.certificates ?? []).map((certificate, index) => {
    const { name, source, file, names, notBeforeMs, notAfterMs } = certificate;
    return {
      name,
      origin: 'file',
      source,
      file,
      names,
      notBefore: new Date(notBeforeMs).toISOString(),
      notAfter: new Date(notAfterMs).toISOString(),
      /** Below 0 when it has expired. */
      daysLeft: Math.trunc((notAfterMs - nowMs) / DAY_MS),
      status: { state: stateNames[lifeOf(certificate, nowMs)], reason: lifeText(certificate, nowMs) },
      listeners: plan!.listeners.filter(({ tls }) => tls?.certificates.includes(index)).map((listener) => listener.name),
    };
  });
}

export type CertificateRow = ReturnType<typeof certificatesOf>[number];

export function addCertificateMetrics(families: Families, state: ControlState): void {
  const notAfter = families.gauge('weir_certificate_not_after_timestamp_seconds', 'When a certificate expires.');
  for (const { name, notAfterMs } of state.plan()?.certificates ?? []) notAfter({ certificate: name }, notAfterMs / 1000);
}

/** What is wrong with those that are not good, and what to do. */
export function certificateTroubles(certificates: readonly CertificatePlan[], nowMs: number): (Trouble & { impact: number })[] {
  return certificates.flatMap((certificate) => {
    const life = lifeOf(certificate, nowMs);
    if (life === 'good') return [];
    const isSoon = life === 'soon';
    return [
      {
        severity: isSoon ? ('warning' as const) : ('error' as const),
        pool: null,
        endpoint: null,
        state: 'certificate',
        since: life === 'over' ? new Date(certificate.notAfterMs).toISOString() : null,
        reason: `certificate ${certificate.name} ${lifeText(certificate, nowMs)}${isSoon ? '' : ': clients refuse it'}`,
        evidence: [],
        advice:
          life === 'early'
            ? 'is the clock of this machine right?'
            : `put a new one into ${certificate.file ?? 'the configuration'}; then reload`,
        impact: isSoon ? 35 : 90,
      },
    ];
  });
}
