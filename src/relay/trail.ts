/**
 * Trail: the tries of one exchange, as numbers, for the flight recorder. StreamTrail: those of a connection or of a client's datagrams.
 *
 * Rules
 * 1. The first three tries and the last one are kept: a chain of retries is told by how it began and how it ended.
 * 2. Tries may overlap (a hedge beside the first); one that is not ended when the exchange is, was cancelled.
 * 3. Nothing is allocated after the constructor.
 */

/** Tries that are kept. */
export const TRIES_KEPT = 4;

/** How a try came about: the first or a retry; beside another; over a new wire, because the kept one had been closed while it was idle. */
export const tryKind = Object.freeze({ ordinary: 0, hedge: 1, fresh: 2 });

/** Numbers of one try, by place. Times are monotonic ms; 0 = not yet. */
export const tryAt = Object.freeze({ slot: 0, faultId: 1, status: 2, beganMs: 3, endedMs: 4, inFlight: 5, kind: 6 });
export const TRY_STRIDE = 7;

export class Trail {
  /** Tries begun, those that are not kept included. */
  count = 0;
  /** In flight in the whole pool when the first try was picked, this one included; 0: there was no try. */
  poolInFlight = 0;
  readonly tries = new Float64Array(TRIES_KEPT * TRY_STRIDE);

  reset(): void {
    this.count = this.poolInFlight = 0;
  }

  /** `inFlight`: on the endpoint and in its pool, this try included. `kind`: {@link tryKind}. */
  begin(slot: number, nowMs: number, inFlight: number, poolInFlight: number, kind: number): void {
    const { tries } = this;
    const at = Math.min(this.count, TRIES_KEPT - 1) * TRY_STRIDE;
    if (this.count++ === 0) this.poolInFlight = poolInFlight;
    tries[at + tryAt.slot] = slot;
    tries[at + tryAt.faultId] = tries[at + tryAt.status] = 0;
    tries[at + tryAt.beganMs] = nowMs;
    tries[at + tryAt.endedMs] = 0;
    tries[at + tryAt.inFlight] = inFlight;
    tries[at + tryAt.kind] = kind;
  }

  /** The latest try on this endpoint that is under way is over. `status`: its answer's, 0 = none. */
  end(slot: number, faultId: number, status: number, nowMs: number): void {
    const { tries } = this;
    for (let at = (Math.min(this.count, TRIES_KEPT) - 1) * TRY_STRIDE; at >= 0; at -= TRY_STRIDE) {
      if (tries[at + tryAt.slot] !== slot || tries[at + tryAt.endedMs] !== 0) continue;
      tries[at + tryAt.faultId] = faultId;
      tries[at + tryAt.status] = status;
      tries[at + tryAt.endedMs] = nowMs;
      return;
    }
  }
}

/** Who sent the first FIN of a connection. */
export const ender = Object.freeze({ nobody: 0, client: 1, endpoint: 2 });

/** The latest try stands in fields: most connections have no other, and there may be many thousands of them for hours. */
export class StreamTrail {
  /** Tries begun, those that are not kept included. */
  count = 0;
  /** As in {@link Trail}. */
  poolInFlight = 0;
  // The latest try. `endedMs` 0: it goes on.
  slot = -1;
  inFlight = 0;
  beganMs = 0;
  endedMs = 0;
  faultId = 0;
  /** Those before it, `count` - 1 of them; made when there is one, and worth nothing while there is none. */
  earlier: Trail | null = null;

  reset(): void {
    this.count = this.poolInFlight = 0;
  }

  /** `inFlight`: on the endpoint and in its pool, this try included. */
  begin(slot: number, nowMs: number, inFlight: number, poolInFlight: number): void {
    if (this.count === 0) this.poolInFlight = poolInFlight;
    else this.setAside();
    this.count++;
    this.slot = slot;
    this.inFlight = inFlight;
    this.beganMs = nowMs;
    this.endedMs = this.faultId = 0;
  }

  /** The latest try is over, also when what it carried had begun long ago. */
  end(faultId: number, nowMs: number): void {
    this.faultId = faultId;
    this.endedMs = nowMs;
  }

  private setAside(): void {
    if (this.earlier === null) this.earlier = new Trail();
    const { earlier, slot } = this;
    if (this.count === 1) earlier.reset();
    earlier.begin(slot, this.beganMs, this.inFlight, 0, tryKind.ordinary);
    earlier.end(slot, this.faultId, 0, this.endedMs);
  }
}
