/**
 * uring-receive: the provided-buffer ring, through which the kernel takes a block when bytes arrive and not before, so that an idle
 * wire holds none.
 *
 * Blocks come from the top of the free list, the ones still warm, and the ring is kept shallow for the same reason: the kernel takes
 * from it in order, so a ring of n blocks walks through n blocks of memory.
 */
import { type Blocks, LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { check } from '../sys/system-error.ts';
import type { Ring } from '../sys/uring.ts';

/** The buffer group of wires: 0 spares writing it into SQEs. */
const WIRE_GROUP = 0;
/** struct io_uring_buf: addr u64, len u32, bid u16, resv u16. `resv` of entry 0 is the tail of the ring. */
const ENTRY_BYTES = 16;
const TAIL_HALF = 7;

export class BlockRing {
  /** Blocks the kernel may take. */
  count: number;
  private readonly ring: Ring;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  private readonly depth: number;
  private readonly group: number;
  private readonly lentBytes: number;
  private readonly map: Mapping;
  private readonly words: Int32Array;
  private readonly halves: Uint16Array;
  private readonly mask: number;
  private tail: number;

  /**
   * `depth`: blocks lent to the kernel at a time. `lentBytes` of each, which may reach LARGE_SLACK beyond it. Throws SystemError when the kernel has no
   * such rings (before Linux 5.19).
   */
  constructor(ring: Ring, blocks: Blocks, arenaAddress: number, depth: number, group = WIRE_GROUP, lentBytes = LARGE_BYTES) {
    let entries = 1;
    while (entries < depth) entries *= 2;
    this.ring = ring;
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.depth = depth;
    this.group = group;
    this.lentBytes = lentBytes;
    this.map = mapLow(entries * ENTRY_BYTES);
    this.words = new Int32Array(this.map.buffer);
    this.halves = new Uint16Array(this.map.buffer);
    this.mask = entries - 1;
    this.tail = 0;
    this.count = 0;
    check('io_uring_register', ring.registerBuffers(group, this.map.address, entries), 'provided-buffer rings need Linux 5.19');
    this.refill();
  }

  /** Fills the ring up to its depth while blocks are free. */
  refill(): void {
    if (this.count >= this.depth) return;
    const { blocks, words, halves, mask } = this;
    let { tail, count } = this;
    while (count < this.depth) {
      const block = blocks.takeLarge();
      if (block === NO_BLOCK) break;
      const at = (tail & mask) << 2;
      words[at] = this.arenaAddress + blocks.start(block);
      words[at + 1] = 0;
      words[at + 2] = this.lentBytes;
      halves[(at << 1) + 6] = block;
      tail = (tail + 1) & 0xffff;
      count++;
    }
    this.tail = tail;
    this.count = count;
    Atomics.store(halves, TAIL_HALF, tail);
  }

  /** The ring is gone from the kernel: the blocks it still had go back. */
  close(): void {
    this.ring.unregisterBuffers(this.group);
    for (let i = 0; i < this.count; i++) this.blocks.release(this.halves[((((this.tail - 1 - i) & this.mask) << 2) << 1) + 6]!);
    this.count = 0;
    munmap(this.map);
  }
}
