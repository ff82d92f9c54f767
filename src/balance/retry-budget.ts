/**
 * How many retries a pool may make: a share of its recent requests, so that a failing pool is not buried under repeats (a retry storm), and a floor for quiet pools.
 * Counted over the last ten seconds, in this worker. The idea is Finagle's and Envoy's retry budget.
 */
const SECONDS = 10;

export class RetryBudget {
  private readonly share: number;
  private readonly floor: number;
  private readonly requests = new Int32Array(SECONDS);
  private readonly retries = new Int32Array(SECONDS);
  private requestSum = 0;
  private retrySum = 0;
  private second = 0;

  /** `share` of requests, 0..1; `perSecondMin` retries a second are always allowed. */
  constructor(share: number, perSecondMin: number) {
    this.share = share;
    this.floor = perSecondMin * SECONDS;
  }

  request(nowMs: number): void {
    this.turn(nowMs);
    this.requests[this.second % SECONDS]!++;
    this.requestSum++;
  }

  /** Takes one retry from the budget; false when it is used up. */
  take(nowMs: number): boolean {
    this.turn(nowMs);
    if (this.retrySum >= Math.max(this.floor, this.requestSum * this.share)) return false;
    this.retries[this.second % SECONDS]!++;
    this.retrySum++;
    return true;
  }

  private turn(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.second) return;
    const gone = Math.min(SECONDS, second - this.second);
    for (let i = 1; i <= gone; i++) {
      const at = (this.second + i) % SECONDS;
      this.requestSum -= this.requests[at]!;
      this.retrySum -= this.retries[at]!;
      this.requests[at] = this.retries[at] = 0;
    }
    this.second = second;
  }
}
