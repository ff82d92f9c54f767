/** Counts in sentences. */

/** "1 request", "3 requests". */
export function countOf(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** "3 requests and 1 tunnel": what an endpoint that is stopped would cut. */
export function leftText({ requests, tunnels }: { requests: number; tunnels: number }): string {
  if (tunnels === 0) return countOf(requests, 'request');
  return requests === 0 ? countOf(tunnels, 'tunnel') : `${countOf(requests, 'request')} and ${countOf(tunnels, 'tunnel')}`;
}
