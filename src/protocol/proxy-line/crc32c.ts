/** CRC32c (Castagnoli, RFC 3720 §B.4), as the checksum value of the PROXY protocol wants it. */
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});

/** Of bytes[start, end), the four bytes at `hole` taken as zeros (-1: no hole). Unsigned. */
export function crc32c(bytes: Uint8Array, start: number, end: number, hole: number): number {
  let c = 0xffffffff;
  for (let i = start; i < end; i++) {
    const byte = hole >= 0 && i >= hole && i < hole + 4 ? 0 : bytes[i]!;
    c = TABLE[(c ^ byte) & 255]! ^ (c >>> 8);
  }
  return (c ^ 0xffffffff) >>> 0;
}
