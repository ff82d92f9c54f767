/**
 * arena: the blocks of one process in mapped memory the kernel can be pointed at.
 *
 * The mapping lies below 4 GiB, so the address of a byte is `address + offset`, a Number that fits the calls of sys/. It is reserved
 * whole and paid for page by page as blocks are used.
 */
import { arenaBytes, Blocks } from '../base/blocks.ts';
import { MADV_DONTFORK, MADV_HUGEPAGE } from '../sys/constants.generated.ts';
import { type Mapping, madvise, mapLow, munmap } from '../sys/memory.ts';

export interface ArenaOptions {
  /** Blocks for receiving and bodies; 64 KiB each when touched. */
  readonly largeCount: number;
  /** Blocks for heads and log lines; 4 KiB each when touched. */
  readonly smallCount: number;
  /** Ask for huge pages: fewer TLB misses, but a block touched by one byte then costs 2 MiB. */
  readonly isHuge?: boolean;
}

export interface Arena {
  readonly blocks: Blocks;
  /** Address of `blocks.bytes[0]`. */
  readonly address: number;
  readonly map: Mapping;
}

export function openArena(options: ArenaOptions): Arena {
  const map = mapLow(arenaBytes(options.largeCount, options.smallCount));
  if (options.isHuge === true) madvise(map, MADV_HUGEPAGE);
  // A child that is forked and execs at once has no use for it.
  madvise(map, MADV_DONTFORK);
  return { blocks: new Blocks(map.bytes, options.largeCount, options.smallCount), address: map.address, map };
}

/** Unmaps. No byte of it may be used afterwards, here or by the kernel. */
export function closeArena(arena: Arena): void {
  munmap(arena.map);
}
