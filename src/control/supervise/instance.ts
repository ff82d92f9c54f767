/**
 * Instance: what a control process leaves behind for the next one with the same configuration, so that its orphans can be taken over.
 *
 * In the runtime folder there are two files for each instance, named after a hash of its key (the absolute paths of its configuration,
 * or the flags of `weir proxy`):
 *   NAME.lock   locked by the living control process (flock(2): the kernel takes the lock back at its death); holds its pid
 *   NAME.json   the workers with their start times, and the inodes of table and listening sockets
 * Descriptors are found by inode in /proc/PID/fd of a worker that lives and copied with pidfd_getfd(2).
 *
 * Rules
 * 1. A pid is believed only together with its start time: pids are used again.
 * 2. The runtime folder is the user's own (mode 0700); a folder of somebody else is refused.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Address } from '../../base/wire.ts';
import { close, pidfdGetfd, pidfdOpen } from '../../sys/libc.ts';
import { tryLock } from '../../sys/lock.ts';
import type { HeldSocket } from './sockets.ts';

export const RECORD_VERSION = 1;

export interface WorkerRecord {
  slot: number;
  stripe: number;
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  startTime: number;
}

export interface InstanceRecord {
  version: typeof RECORD_VERSION;
  key: string;
  pid: number;
  startTime: number;
  table: { inode: number; device: number };
  sockets: { key: string; slot: number; inode: number; address: Address }[];
  workers: WorkerRecord[];
}

/** Another living control process has this instance. */
export class InstanceTaken extends Error {
  override name = 'InstanceTaken';
  readonly pid: number;
  constructor(pid: number) {
    super(`this configuration is already run by weir with pid ${pid}`);
    this.pid = pid;
  }
}

/** Folder for what must not outlive the boot. */
export function runtimeFolder(environment: Readonly<Record<string, string | undefined>>, uid: number, temporary: string): string {
  if (environment['WEIR_RUNTIME_DIR']) return environment['WEIR_RUNTIME_DIR'];
  if (uid === 0) return '/run/weir';
  if (environment['XDG_RUNTIME_DIR']) return join(environment['XDG_RUNTIME_DIR'], 'weir');
  return join(temporary, `weir-${uid}`);
}

/** Makes the runtime folder where there is none. Throws when it belongs to somebody else, or the system's error. */
export function ownFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(folder);
  const own = process.geteuid!();
  if (uid !== own || (mode & 0o022) !== 0) throw new Error(`${folder} must belong to uid ${own} and be writable by nobody else`);
}

/** Start time of a process, or null when there is none (a zombie is none). */
export function startTimeOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything; the fields follow the last parenthesis. Field 3 is the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

export class Instance {
  readonly key: string;
  /** Without its ending. */
  private readonly path: string;
  private readonly lockFd: number;
  private last = '';

  private constructor(key: string, path: string, lockFd: number) {
    this.key = key;
    this.path = path;
    this.lockFd = lockFd;
  }

  /** Takes the instance of this key. Throws InstanceTaken, or the system's error when the folder cannot be used. */
  static take(folder: string, key: string): Instance {
    ownFolder(folder);
    const path = join(folder, createHash('sha256').update(key).digest('hex').slice(0, 16));
    for (;;) {
      const lockFd = openSync(`${path}.lock`, 'a+', 0o600);
      if (!tryLock(lockFd)) {
        const pid = Number.parseInt(readFileSync(lockFd, 'latin1'), 10);
        closeSync(lockFd);
        throw new InstanceTaken(Number.isNaN(pid) ? 0 : pid);
      }
      // The predecessor removes its file at its end: the lock counts only on the file that is there now.
      if (statSync(`${path}.lock`, { throwIfNoEntry: false })?.ino !== fstatSync(lockFd).ino) {
        closeSync(lockFd);
        continue;
      }
      ftruncateSync(lockFd);
      writeSync(lockFd, `${process.pid}\n`);
      return new Instance(key, path, lockFd);
    }
  }

  /** What the predecessor left, or null. */
  read(): InstanceRecord | null {
    try {
      const record = JSON.parse(readFileSync(`${this.path}.json`, 'utf8')) as InstanceRecord;
      return record.version === RECORD_VERSION && record.key === this.key ? record : null;
    } catch {
      return null;
    }
  }

  write(record: Omit<InstanceRecord, 'version' | 'key' | 'pid' | 'startTime'>): void {
    const { key } = this;
    const own = { version: RECORD_VERSION, key, pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
    const text = JSON.stringify({ ...own, ...record });
    if (text === this.last) return;
    this.last = text;
    // A reader sees the old or the new, never half.
    const fd = openSync(`${this.path}.new`, 'w', 0o600);
    writeSync(fd, text);
    closeSync(fd);
    renameSync(`${this.path}.new`, `${this.path}.json`);
  }

  /** An orderly end: nobody is left to take over. */
  remove(): void {
    rmSync(`${this.path}.json`, { force: true });
  }

  /** Gives the lock back. */
  release(): void {
    rmSync(`${this.path}.lock`, { force: true });
    closeSync(this.lockFd);
  }
}

/** What was had from the orphans. */
export interface Takeover {
  orphans: WorkerRecord[];
  /** Worker records whose process is gone: their stripes can be given back. */
  dead: WorkerRecord[];
  /** Our copy of the table's descriptor; -1: not had. */
  tableFd: number;
  sockets: HeldSocket[];
  /** Sockets that no orphan would hand over. */
  missing: number;
}

/** Copies table and listening sockets out of the living workers of `record`. */
export function takeOver(record: InstanceRecord): Takeover {
  const lives = (worker: WorkerRecord): boolean => startTimeOf(worker.pid) === worker.startTime;
  const orphans = record.workers.filter(lives);
  const result: Takeover = {
    orphans,
    dead: record.workers.filter((worker) => !lives(worker)),
    tableFd: -1,
    sockets: [],
    missing: 0,
  };
  const wanted = new Map(record.sockets.map((socket) => [socket.inode, socket]));
  for (const { pid } of orphans) {
    const pidfd = pidfdOpen(pid);
    if (pidfd < 0) continue;
    try {
      for (const { fd, stats } of descriptorsOf(pid)) {
        const socket = stats.isSocket() ? wanted.get(stats.ino) : undefined;
        const isTable = result.tableFd < 0 && stats.ino === record.table.inode && stats.dev === record.table.device;
        if (socket === undefined && !isTable) continue;
        const copy = pidfdGetfd(pidfd, fd);
        if (copy < 0) continue;
        // Between the look and the copy the number may have become another file.
        const copied = fstatSync(copy);
        if (copied.ino !== stats.ino || copied.dev !== stats.dev) {
          close(copy);
          continue;
        }
        if (socket !== undefined) {
          wanted.delete(stats.ino);
          result.sockets.push({ ...socket, fd: copy });
        } else result.tableFd = copy;
      }
    } finally {
      close(pidfd);
    }
  }
  result.missing = wanted.size;
  return result;
}

function descriptorsOf(pid: number): { fd: number; stats: Stats }[] {
  const list: { fd: number; stats: Stats }[] = [];
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      try {
        list.push({ fd: Number(name), stats: statSync(`/proc/${pid}/fd/${name}`) });
      } catch {
        // Closed meanwhile.
      }
    }
  } catch {
    // Gone, or not ours to look into.
  }
  return list;
}
