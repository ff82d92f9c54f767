/** Turns: runs a job one at a time. Asked for while it runs, it runs once more, however often it was asked. */
export class Turns<T> {
  private readonly job: () => Promise<T>;
  private current: Promise<T> | null = null;
  private next: Promise<T> | null = null;

  constructor(job: () => Promise<T>) {
    this.job = job;
  }

  /** Resolves with the result of a run that began after this call. */
  ask(): Promise<T> {
    if (this.current === null) return (this.current = this.run());
    this.next ??= this.current.then(
      () => this.follow(),
      () => this.follow(),
    );
    return this.next;
  }

  private follow(): Promise<T> {
    this.next = null;
    return (this.current = this.run());
  }

  private async run(): Promise<T> {
    try {
      return await this.job();
    } finally {
      if (this.next === null) this.current = null;
    }
  }
}
