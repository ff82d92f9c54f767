/** How many pipes a process may keep for pouring (Wire.pourInto); io/ opens them, who counts descriptors leaves room for them. */

export const DESCRIPTORS_PER_PIPE = 2;
/** Where descriptors are scarce they are for connections: a few pipes, for whose receivers keep up. */
const FEW = 8;
/** As many slow receivers of bulk can hold one at a time. */
const MANY = 128;
const ENOUGH_DESCRIPTORS = 8192;

export function pipesMaxOf(descriptorsMax: number): number {
  return descriptorsMax >= ENOUGH_DESCRIPTORS ? MANY : FEW;
}
