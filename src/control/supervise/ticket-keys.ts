/**
 * Ticket keys: what TLS session tickets (RFC 5077) are sealed with. All workers have the same, so that a client may come back to any of them.
 *
 * Rules
 * 1. They live in memory only, here and in the workers, and are shown nowhere. Who gets hold of one reads what was sealed with it: TLS 1.2 sessions whole (RFC 5077 §5.5).
 * 2. The first seals; the others only open what was sealed before, so that clients of the last hours are still known after a change.
 */
import { randomBytes } from 'node:crypto';
import { TICKET_KEY_BYTES } from '../../base/ticket-key.ts';

/** One key seals for so long. */
export const TICKET_KEY_MS_MAX = 12 * 3_600_000;
/** Kept only to open with. */
const OLD_KEYS = 2;

export class TicketKeys {
  private readonly now: () => number;
  private readonly random: (size: number) => Buffer;
  private madeAt = Number.NEGATIVE_INFINITY;
  private all: readonly string[] = [];

  /** `now`: ms of a clock that never goes back. */
  constructor(now: () => number, random: (size: number) => Buffer = randomBytes) {
    this.now = now;
    this.random = random;
    this.renew();
  }

  /** In hex, the newest first. */
  get keys(): readonly string[] {
    return this.all;
  }

  /** Makes a new key when the newest has sealed long enough. True: they have changed. */
  renew(): boolean {
    const now = this.now();
    if (now - this.madeAt < TICKET_KEY_MS_MAX) return false;
    this.madeAt = now;
    this.all = [this.random(TICKET_KEY_BYTES).toString('hex'), ...this.all.slice(0, OLD_KEYS)];
    return true;
  }
}
