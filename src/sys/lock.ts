/** lock: flock(2), a lock on an open file that ends with the process, however it ends. */
import { EAGAIN } from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { SystemError } from './system-error.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const flockRaw = fast<(fd: number, operation: number) => number>('flock', ['int32', 'int32'], 'int32');

/** Takes the lock on the file behind `fd` without waiting; false when another process has it. Throws for anything else. */
export function tryLock(fd: number): boolean {
  if (flockRaw(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (errno[0] === EAGAIN) return false;
  throw new SystemError('flock', errno[0]!);
}
