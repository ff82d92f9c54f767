import { FIELD_STRIDE, Head } from './head.ts';

/** Heads kept at most; more are left to the garbage collector. */
const HEADS_KEPT_MAX = 4096;

/** Heads of one worker, last used first. A head is taken at the first byte of a message and given back with its exchange. */
export class HeadPool {
  private kept: Head[] = [];
  private readonly bytes: Uint8Array;
  private fieldsMax: number;

  constructor(bytes: Uint8Array, fieldsMax: number) {
    this.bytes = bytes;
    this.fieldsMax = fieldsMax;
  }

  take(): Head {
    const head = this.kept.pop();
    return head === undefined ? new Head(this.bytes, this.fieldsMax) : head;
  }

  /** Heads made from here on have room for at least this many received fields. */
  atLeast(fieldsMax: number): void {
    if (fieldsMax <= this.fieldsMax) return;
    this.fieldsMax = fieldsMax;
    this.kept = [];
  }

  give(head: Head): void {
    if (this.kept.length < HEADS_KEPT_MAX && head.fields.length > this.fieldsMax * FIELD_STRIDE) {
      head.reset();
      this.kept.push(head);
    }
  }
}
