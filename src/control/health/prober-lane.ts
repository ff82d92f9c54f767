/** prober-lane: one check under way in the prober, and how far it has come. */
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { Hearing, Script } from './check.ts';

export const stage = Object.freeze({ free: 0, knocking: 1, connecting: 2, speaking: 3, hearing: 4, parting: 5 });

/** A plain check: where, what is said, how long it may take. */
export interface PlainCheck {
  readonly address: Address;
  readonly sockaddr: Uint8Array;
  readonly script: Script;
  readonly timeoutMs: number;
}

/** A check that was asked for. */
export interface Job {
  readonly check: PlainCheck;
  readonly ended: (result: CheckResult) => void;
}

export class Lane {
  readonly index: number;
  /** Where it stands in the list of those in use. */
  place = -1;
  fd = -1;
  stage: number = stage.free;
  job: Job | null = null;
  hearing: Hearing | null = null;
  sent = 0;
  startedAt = 0;
  deadline = 0;
  /** The next step is tried in the next tick. */
  isHopeful = false;
  isWatched = false;
  isConnected = false;
  /** Closed by a reset. */
  isReset = false;
  hasEnded = false;

  constructor(index: number) {
    this.index = index;
  }
}
