/** SoonList: what a loop does once at the end of its turn, before bytes go down. Objects, not closures: nothing is allocated for it. */

export interface SoonTask {
  onSoon(): void;
}

export class SoonList {
  private readonly tasks: SoonTask[] = [];
  length = 0;

  add(task: SoonTask): void {
    if (this.length < this.tasks.length) this.tasks[this.length] = task;
    else this.tasks.push(task);
    this.length++;
  }

  /** Tasks that are added meanwhile are done too. */
  run(): void {
    for (let i = 0; i < this.length; i++) this.tasks[i]!.onSoon();
    this.length = 0;
  }
}
