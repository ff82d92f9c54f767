/** How long a certificate is good for: the one answer that warnings of the config, events, metrics and listings give. */

const DAY_MS = 86_400_000;
/** Time for whoever has to renew it by hand. */
const SOON_MS = 14 * DAY_MS;

export interface Validity {
  /** Ms since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** `early`: not valid yet. `soon`: it ends within 14 days, or within the last third of a life that is shorter. */
export type Life = 'early' | 'good' | 'soon' | 'over';

export function lifeOf({ notBeforeMs, notAfterMs }: Validity, nowMs: number): Life {
  if (nowMs >= notAfterMs) return 'over';
  if (nowMs < notBeforeMs) return 'early';
  return notAfterMs - nowMs < Math.min(SOON_MS, (notAfterMs - notBeforeMs) / 3) ? 'soon' : 'good';
}

/** "is not valid before 2026-01-01T00:00:00.000Z", "expires in 3 days", "expired 20 hours ago". */
export function lifeText({ notBeforeMs, notAfterMs }: Validity, nowMs: number): string {
  if (nowMs < notBeforeMs) return `is not valid before ${new Date(notBeforeMs).toISOString()}`;
  const leftMs = notAfterMs - nowMs;
  return leftMs > 0 ? `expires in ${roughly(leftMs)}` : `expired ${roughly(-leftMs)} ago`;
}

/** Whole days, or below two whole hours. */
function roughly(ms: number): string {
  const [count, unit] = ms >= 2 * DAY_MS ? [Math.floor(ms / DAY_MS), 'day'] : [Math.floor(ms / 3_600_000), 'hour'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
