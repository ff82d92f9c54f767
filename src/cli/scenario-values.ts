/** Values of a scenario file that the schema let through, as numbers. */
import { document } from '../control/config/config.ts';

export function must<T>(read: document.Read<T>): T {
  if (!read.ok) throw new Error(`the schema let a bad value through: ${read.message}`);
  return read.value;
}

/** A duration in ms. */
export function ms(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(document.readDuration(text));
}

/** A percentage as a share, 0..1. */
export function share(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(document.readPercent(text));
}
