/**
 * table: the doors over one buffer. control makes the memory (an ArrayBuffer over a mapped memfd) and fills the header; everyone
 * attaches with a door. What lies where is layout.ts; how it may be read while others write is said in reader.ts.
 */
import { randomInt } from 'node:crypto';
import { assert } from '../base/assert.ts';
import {
  defaultSizes,
  header,
  LAYOUT_VERSION,
  LISTENERS_LIMIT,
  layoutOf,
  MAGIC,
  POOLS_LIMIT,
  ROUTES_LIMIT,
  type TableSizes,
} from './layout.ts';

export { ControlDoor, endpointState, endpointStateNames, stateNow, stateOf } from './control-door.ts';
export { layoutProblem, type TableSizes } from './layout.ts';
export { Reader } from './reader.ts';
export { Tally } from './tally.ts';
export { WorkerDoor } from './worker-door.ts';

/** Bytes the memory must have; most of them stay untouched and cost nothing. */
export function tableBytes(sizes: Partial<TableSizes> = {}): number {
  return layoutOf({ ...defaultSizes, ...sizes }).bytes;
}

/** Makes a table of zeroed memory. `seed` is what {@link Reader.seed} says to all who attach; a random one by default. */
export function initTable(buffer: ArrayBufferLike, sizes: Partial<TableSizes> = {}, seed: number = randomInt(2 ** 32)): void {
  const whole = { ...defaultSizes, ...sizes };
  assert(
    whole.listenersMax <= LISTENERS_LIMIT && whole.routesMax <= ROUTES_LIMIT && whole.poolsMax <= POOLS_LIMIT,
    'ids fit the keys',
  );
  assert(buffer.byteLength >= layoutOf(whole).bytes, 'the memory holds the table');
  const i32 = new Int32Array(buffer, 0, header.stripes);
  assert(i32[header.magic] === 0, 'the memory is fresh');
  i32[header.layoutVersion] = LAYOUT_VERSION;
  i32[header.slotsMax] = whole.slotsMax;
  i32[header.stripesMax] = whole.stripesMax;
  i32[header.listenersMax] = whole.listenersMax;
  i32[header.routesMax] = whole.routesMax;
  i32[header.poolsMax] = whole.poolsMax;
  i32[header.filtersMax] = whole.filtersMax;
  i32[header.limitRowsMax] = whole.limitRowsMax;
  i32[header.exchangeRowsMax] = whole.exchangeRowsMax;
  i32[header.countRowsMax] = whole.countRowsMax;
  i32[header.seed] = seed | 0;
  // Last: who finds it half made finds no table.
  Atomics.store(i32, header.magic, MAGIC);
}
