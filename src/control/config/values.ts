/** Values of a config that the schema has accepted, as the plan has them. */
import type { Address } from '../../base/wire.ts';
import type { Cidr } from '../../state/plan.ts';
import { readEndpoint, readRange } from './address.ts';
import { type Read, readDuration, readSize } from './units.ts';

/** The value of a text that the schema has accepted. */
export function must<T>(read: Read<T>): T {
  if (!read.ok) throw new Error(`the schema let a bad value through: ${read.message}`);
  return read.value;
}

export function ms(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(readDuration(text));
}

export function bytes(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(readSize(text));
}

export function listOf<T>(value: T | readonly T[]): T[] {
  return Array.isArray(value) ? [...value] : [value as T];
}

export function rangesOf(value: string | readonly string[] | undefined): Cidr[] {
  return value === undefined ? [] : listOf(value).flatMap((text) => must(readRange(text)));
}

export function endpointOf(text: string): { text: string; resolved: Address | null } {
  return must(readEndpoint(text));
}
