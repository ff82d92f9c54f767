/** Waiting for conditions, never for time. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Thrown by a condition that cannot come true any more: until() stops waiting. */
export class Hopeless extends Error {
  override name = 'Hopeless';
}

/** Looks every `everyMs` until `condition` returns something truthy, and returns that. Fails with `what` after `withinMs`. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  withinMs = 15_000,
  everyMs = 10,
): Promise<Exclude<T, undefined | null | false | 0 | ''>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  while (true) {
    try {
      const value = await condition();
      if (value) return value as Exclude<T, undefined | null | false | 0 | ''>;
      last = value;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for: ${what}; last: ${String(last)}`);
    await sleep(everyMs);
  }
}

/** Fails with `what` when the promise takes longer. */
export async function within<T>(what: string, withinMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${withinMs} ms`)), withinMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
