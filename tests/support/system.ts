/** What /proc says of processes: children, memory, CPU, descriptors, sockets. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';

/** Clock ticks a second in /proc; fixed in the kernel's interface to user space. */
const TICKS_PER_SECOND = 100;

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

export function isAlive(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  return stat !== null && !/\) [ZX]/.test(stat);
}

/** Direct children, oldest first. */
export function childrenOf(pid: number): number[] {
  const tasks = listOf(`/proc/${pid}/task`);
  return tasks
    .flatMap((task) => (read(`/proc/${pid}/task/${task}/children`) ?? '').trim().split(' '))
    .filter(Boolean)
    .map(Number)
    .sort((a, b) => startOf(a) - startOf(b));
}

/** When a process began, in ticks since boot: tells a pid from its successor. */
export function startOf(pid: number): number {
  return Number(fieldsOf(pid)?.[19] ?? 0);
}

export function commandOf(pid: number): string {
  return (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

/** Fields of /proc/PID/stat from the state (field 3) on; the name in parentheses may hold spaces. */
function fieldsOf(pid: number): string[] | null {
  const stat = read(`/proc/${pid}/stat`);
  return stat === null ? null : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function listOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** User and system time so far, in ms. All threads; no children. */
export function cpuMs(pid: number): number {
  const fields = fieldsOf(pid);
  return fields === null ? 0 : ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** User time alone, in ms. */
export function userMs(pid: number): number {
  return (Number(fieldsOf(pid)?.[11] ?? 0) * 1000) / TICKS_PER_SECOND;
}

/** Resident bytes. */
export function rssBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0) * 1024;
}

/** Resident bytes, shared pages counted by share. */
export function pssBytes(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0) * 1024;
}

export function descriptorsOf(pid: number): number {
  return listOf(`/proc/${pid}/fd`).length;
}

/** Where the descriptors point, for messages of leak guards. */
export function descriptorTargets(pid: number): string[] {
  return listOf(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return '';
    }
  });
}

/** Ports at the far end of the established IPv4 connections that this process holds and whose near end is `localPort`. */
export function peersOf(pid: number, localPort: number): Set<number> {
  const inodes = new Set(
    descriptorTargets(pid).flatMap((target) => {
      const match = /^socket:\[(\d+)\]$/.exec(target);
      return match === null ? [] : [match[1]!];
    }),
  );
  const ports = new Set<number>();
  for (const line of (read('/proc/net/tcp') ?? '').split('\n').slice(1)) {
    const parts = line.trim().split(/\s+/);
    // 01: TCP_ESTABLISHED; a listening socket has no peer.
    if (parts[3] !== '01' || !inodes.has(parts[9]!)) continue;
    if (Number.parseInt(parts[1]!.split(':')[1]!, 16) === localPort) ports.add(Number.parseInt(parts[2]!.split(':')[1]!, 16));
  }
  return ports;
}

const handedOut = new Set<number>();

/**
 * A free port for a program that is told its port. Below the ephemeral range (32768), so that no outgoing connection sits on it,
 * and from a place that differs between test processes.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = 12000 + ((((process.pid * 37) % 1000) * 20 + handedOut.size + tries * 101) % 20000);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    return port;
  }
  throw new Error('no free port');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
