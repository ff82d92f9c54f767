/** Who listens on a port, as far as /proc tells this user. For error messages. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTEN = '0A';

export interface Holder {
  pid: number;
  command: string;
}

function listeningInodes(port: number): Set<string> {
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text: string;
    try {
      text = readFileSync(table, 'latin1');
    } catch {
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      const local = columns[1]?.split(':')[1];
      if (columns[3] === LISTEN && local !== undefined && Number.parseInt(local, 16) === port) inodes.add(columns[9]!);
    }
  }
  return inodes;
}

/** The first process found that holds a listening socket on this TCP port; null when none is visible. */
export function holderOf(port: number): Holder | null {
  const inodes = listeningInodes(port);
  if (inodes.size === 0) return null;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode !== undefined && inodes.has(inode)) {
          return { pid: Number(pid), command: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
        }
      }
    } catch {
      // Gone, or another user's.
    }
  }
  return null;
}
