/** prober-lane: one check under way in the prober, and how far it has come. */
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { Heard, Hearing, Script } from './check.ts';

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
  /** What it came to, to be told when the lane is closed. */
  heard: Heard | null = null;
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

  /** Takes the lane for a check. `fd`: its socket; -errno: there is none, which the first step finds. */
  enter(job: Job, fd: number, now: number): void {
    const { script, timeoutMs } = job.check;
    this.fd = fd;
    this.job = job;
    this.hearing = script.opening === null ? null : script.begin();
    this.heard = null;
    this.sent = 0;
    this.startedAt = now;
    this.deadline = now + timeoutMs;
    this.isHopeful = true;
    this.isWatched = false;
    this.isConnected = false;
    this.isReset = false;
    this.hasEnded = false;
    this.stage = stage.knocking;
  }

  /** Only the first result counts. */
  tell({ passed, reason, evidence }: Heard, now: number): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.job!.ended({ passed, reason, evidence, ms: now - this.startedAt });
  }

  leave(): void {
    this.fd = -1;
    this.stage = stage.free;
    this.job = null;
    this.hearing = null;
  }
}
