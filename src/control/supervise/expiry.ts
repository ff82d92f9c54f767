/** Expiry: says once when a certificate in force is about to expire, and once when it has. */
import type { CertificatePlan, Plan } from '../../state/plan.ts';
import { lifeOf, lifeText } from '../certificate-life.ts';
import type { EventLog } from './events.ts';

const LOOK_MS = 60_000;

export interface ExpiryParts {
  events: Pick<EventLog, 'warn' | 'error'>;
  /** Ms since 1970. */
  now: () => number;
}

export class Expiry {
  private readonly parts: ExpiryParts;
  private certificates: readonly CertificatePlan[] = [];
  /** What was said: certificate, its end and what of it. A new certificate of the same name is another one. */
  private said = new Set<string>();
  private timer: NodeJS.Timeout | null = null;

  constructor(parts: ExpiryParts) {
    this.parts = parts;
  }

  /** A plan is in force. Looks at once, and from now on. */
  apply(plan: Plan): void {
    this.certificates = plan.certificates;
    this.look();
    this.timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  look(): void {
    const { events, now } = this.parts;
    const time = now();
    const said = new Set<string>();
    for (const certificate of this.certificates) {
      const life = lifeOf(certificate, time);
      if (life === 'good') continue;
      const { name, notAfterMs, file } = certificate;
      const key = `${name} ${notAfterMs} ${life}`;
      said.add(key);
      if (this.said.has(key)) continue;
      const text = `certificate ${name} ${lifeText(certificate, time)}`;
      const fields = { certificate: name, notAfter: new Date(notAfterMs).toISOString(), file };
      if (life === 'soon') events.warn('certificate_expires', text, fields);
      else events.error(life === 'over' ? 'certificate_expired' : 'certificate_early', text, fields);
    }
    this.said = said;
  }
}
