/**
 * Names: a column of the table that says which text (and owner) a number stands for, so that a control process that attaches to a living
 * table finds what its predecessor numbered. Only the control process writes it.
 */
import { NAME_BYTES_MAX, NAME_STRIDE, name, nameState } from './layout.ts';

export class Names {
  private readonly bytes: Buffer;
  private readonly max: number;
  private readonly numbers = new Map<string, number>();
  /** Numbers that were never given lie at and above it. */
  high = 0;

  /** Reads what is there. `start` in bytes. */
  constructor(buffer: ArrayBufferLike, start: number, max: number) {
    this.bytes = Buffer.from(buffer as ArrayBuffer, start, max * NAME_STRIDE);
    this.max = max;
    // Numbers are given in order, so the first free one ends the walk and the pages behind it stay untouched.
    while (this.high < max && this.state(this.high) !== nameState.free) {
      this.numbers.set(keyOf(this.owner(this.high), this.text(this.high)), this.high);
      this.high++;
    }
  }

  state(number: number): number {
    return this.bytes.readUInt32LE(number * NAME_STRIDE + name.state);
  }
  setState(number: number, state: number): void {
    this.bytes.writeUInt32LE(state, number * NAME_STRIDE + name.state);
  }
  owner(number: number): number {
    return this.bytes.readUInt32LE(number * NAME_STRIDE + name.owner);
  }
  text(number: number): string {
    const at = number * NAME_STRIDE;
    const length = this.bytes.readUInt32LE(at + name.length);
    return this.bytes.toString('utf8', at + name.bytes, at + name.bytes + length);
  }

  find(owner: number, text: string): number {
    return this.numbers.get(keyOf(owner, text)) ?? -1;
  }

  /** The next number never given, -1 when there is none or the text does not fit. */
  add(owner: number, text: string): number {
    if (this.high === this.max) return -1;
    if (!this.write(this.high, owner, text)) return -1;
    return this.high++;
  }

  /** Gives a number to another name. False, changing nothing, when the text does not fit. */
  replace(number: number, owner: number, text: string): boolean {
    if (Buffer.byteLength(text) > NAME_BYTES_MAX) return false;
    this.numbers.delete(keyOf(this.owner(number), this.text(number)));
    return this.write(number, owner, text);
  }

  private write(number: number, owner: number, text: string): boolean {
    const at = number * NAME_STRIDE;
    const length = Buffer.byteLength(text);
    if (length > NAME_BYTES_MAX) return false;
    // A process killed between these lines leaves a name that is not yet claimed, and nothing else.
    this.setState(number, nameState.free);
    this.bytes.write(text, at + name.bytes, 'utf8');
    this.bytes.writeUInt32LE(length, at + name.length);
    this.bytes.writeUInt32LE(owner, at + name.owner);
    this.setState(number, nameState.claimed);
    this.numbers.set(keyOf(owner, text), number);
    return true;
  }
}

function keyOf(owner: number, text: string): string {
  return `${owner} ${text}`;
}
