/** Median of the first `count` numbers, which are sorted, without one of them, which is there. At least two. */
export function medianWithout(sorted: Float64Array, count: number, one: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < one) low = middle + 1;
    else high = middle;
  }
  // Place k of what is left.
  const at = (k: number): number => sorted[k < low ? k : k + 1]!;
  const half = (count - 1) >>> 1;
  return (count - 1) % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
}
