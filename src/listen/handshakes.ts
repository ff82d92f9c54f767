/**
 * Handshakes: those of one listener in one worker that OpenSSL works on, the oldest first, and how many there may be.
 *
 * Rules
 * 1. Who finds no place is turned away before OpenSSL sees a byte.
 * 2. A client that falls silent would keep its place for the whole handshakeTimeout. So where all are taken the oldest handshake gives up its place, once it
 *    had PLACE_MS: a flood of silent clients keeps others out for that long at most, and everybody who answers in time gets through.
 */

/**
 * What a handshake surely gets. Two round trips of TLS 1.2 with one packet lost, which the kernel sends again after 1 s (RFC 6298 §2), take less
 * on any but the worst of networks.
 */
export const PLACE_MS = 2000;

/** A handshake under way. The links are the list's. */
export interface Handshake {
  begunBefore: Handshake | null;
  begunAfter: Handshake | null;
  /** When it got its place. */
  placedMs: number;
  /** Ends it because another needs its place, which it leaves in this call. */
  giveWay(): void;
}

export class Handshakes {
  count = 0;
  private oldest: Handshake | null = null;
  private newest: Handshake | null = null;

  /** Is there a place for one more, `max` being all (0 = any number)? Then {@link join} may follow. */
  hasRoom(max: number, now: number): boolean {
    if (max === 0) return true;
    // More than one is too many when a reload has made the limit smaller.
    while (this.count >= max) {
      const oldest = this.oldest!;
      if (now - oldest.placedMs < PLACE_MS) return false;
      oldest.giveWay();
    }
    return true;
  }

  join(handshake: Handshake, now: number): void {
    handshake.placedMs = now;
    handshake.begunBefore = this.newest;
    handshake.begunAfter = null;
    if (this.newest !== null) this.newest.begunAfter = handshake;
    else this.oldest = handshake;
    this.newest = handshake;
    this.count++;
  }

  leave(handshake: Handshake): void {
    const { begunBefore, begunAfter } = handshake;
    if (begunBefore !== null) begunBefore.begunAfter = begunAfter;
    else this.oldest = begunAfter;
    if (begunAfter !== null) begunAfter.begunBefore = begunBefore;
    else this.newest = begunBefore;
    handshake.begunBefore = handshake.begunAfter = null;
    this.count--;
  }
}
