/** The state table as memory: a new memfd, or the one that orphans still hold. */
import { fstatSync } from 'node:fs';
import { ControlDoor, initTable, layoutProblem, Tally, tableBytes } from '../../state/table.ts';
import { close, mapShared, memfd } from '../../sys/libc.ts';

export interface SharedTable {
  readonly fd: number;
  readonly door: ControlDoor;
  readonly tally: Tally;
  readonly inode: number;
  readonly device: number;
}

function attach(fd: number, buffer: ArrayBuffer): SharedTable {
  const { ino, dev } = fstatSync(fd);
  return { fd, door: new ControlDoor(buffer), tally: new Tally(buffer), inode: ino, device: dev };
}

export function newTable(): SharedTable {
  const length = tableBytes();
  const fd = memfd('weir-state', length);
  const { buffer } = mapShared(fd, length);
  initTable(buffer);
  return attach(fd, buffer);
}

/** The table behind a descriptor taken over, or why it cannot be used; then the descriptor is closed. */
export function adoptTable(fd: number): SharedTable | string {
  const length = tableBytes();
  const { size } = fstatSync(fd);
  if (size !== length) {
    close(fd);
    return `the state table has ${size} bytes, this program's has ${length}`;
  }
  const { buffer } = mapShared(fd, length);
  const problem = layoutProblem(buffer);
  if (problem === null) return attach(fd, buffer);
  close(fd);
  return problem;
}
