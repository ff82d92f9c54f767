/** A bug of ours, never an input's fault: the worker dies with it and the supervisor starts another. */
export class Bug extends Error {
  override name = 'Bug';
}

/** Throws a {@link Bug} when `condition` is false. `message` says which promise was broken. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}
