/** Agenda: numbers in the order of the virtual times they are due. A binary heap over typed arrays. */
export class Agenda {
  private times = new Float64Array(1024);
  private things = new Int32Array(1024);
  private count = 0;

  /** Time of the next thing, Infinity when there is none. */
  get nextMs(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : this.times[0]!;
  }

  add(atMs: number, thing: number): void {
    if (this.count === this.times.length) this.grow();
    const { times, things } = this;
    let at = this.count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent]! <= atMs) break;
      times[at] = times[parent]!;
      things[at] = things[parent]!;
      at = parent;
    }
    times[at] = atMs;
    things[at] = thing;
  }

  /** Takes the next thing; there is one. */
  take(): number {
    const { times, things } = this;
    const first = things[0]!;
    const last = --this.count;
    const time = times[last]!;
    const thing = things[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= time) break;
      times[at] = times[child]!;
      things[at] = things[child]!;
      at = child;
    }
    times[at] = time;
    things[at] = thing;
    return first;
  }

  private grow(): void {
    const { times, things } = this;
    this.times = new Float64Array(2 * times.length);
    this.times.set(times);
    this.things = new Int32Array(2 * things.length);
    this.things.set(things);
  }
}
