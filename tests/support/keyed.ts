/** Bodies that say whose they are: any piece at any offset can be checked, and a byte of another key shows. */

/** `size` bytes of this key. */
export function keyedBody(key: string, size: number): Buffer {
  return size === 0 ? Buffer.alloc(0) : Buffer.alloc(size, `${key}|`, 'latin1');
}

/** Is `piece` what stands at `offset` of the key's body? */
export function isKeyed(key: string, offset: number, piece: Buffer): boolean {
  const period = key.length + 1;
  const pattern = Buffer.from(`${key}|`, 'latin1');
  if (piece.length <= 4 * period) {
    for (let i = 0; i < piece.length; i++) if (piece[i] !== pattern[(offset + i) % period]) return false;
    return true;
  }
  const phase = offset % period;
  const wanted = Buffer.alloc(piece.length + phase, pattern);
  return wanted.subarray(phase).equals(piece);
}

/** A small seeded random: mulberry32. Whole numbers in [0, below). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  };
}
