/** Median of sorted numbers without one of them, which is there. At least two. */
export function medianWithout(sorted: Float64Array, one: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < one) low = middle + 1;
    else high = middle;
  }
  const left = sorted.length - 1;
  const at = (k: number): number => sorted[k < low ? k : k + 1]!;
  const half = left >>> 1;
  return left % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
}
