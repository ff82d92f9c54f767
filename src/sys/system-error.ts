/** SystemError: a system call that was refused at set-up, where the answer cannot be a number. The data path returns -errno instead. */
import { getSystemErrorMap } from 'node:util';

/** "ECONNREFUSED" for 111; "E" and the number for one unknown. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `E${errno}`;
}

/** "connection refused" for 111. */
export function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;
}

export class SystemError extends Error {
  override name = 'SystemError';
  readonly call: string;
  /** Positive. */
  readonly errno: number;
  readonly code: string;

  constructor(call: string, errno: number, detail = '') {
    super(`${call}: ${errnoName(errno)} (${errnoText(errno)})${detail === '' ? '' : ': ' + detail}`);
    this.call = call;
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

/** The result of a call that returns -errno, or throws it as a SystemError. For set-up code. */
export function check(call: string, result: number, detail = ''): number {
  if (result < 0) throw new SystemError(call, -result, detail);
  return result;
}
