/** Who listens on a port, as far as /proc tells this user. For error messages. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** States in /proc: TCP_LISTEN; for UDP the number of TCP_CLOSE says "bound". */
const LISTEN = '0A';
const BOUND = '07';
/** Characters of a command shown. */
const COMMAND_MAX = 60;

export interface Holder {
  pid: number;
  command: string;
}

function listeningInodes(port: number, isUdp: boolean): Set<string> {
  const inodes = new Set<string>();
  const state = isUdp ? BOUND : LISTEN;
  for (const table of isUdp ? ['/proc/net/udp', '/proc/net/udp6'] : ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text: string;
    try {
      text = readFileSync(table, 'latin1');
    } catch {
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      const local = columns[1]?.split(':')[1];
      if (columns[3] === state && local !== undefined && Number.parseInt(local, 16) === port) inodes.add(columns[9]!);
    }
  }
  return inodes;
}

/** The first process found that listens on this TCP port, or is bound to this UDP port; null when none is visible. */
export function holderOf(port: number, isUdp = false): Holder | null {
  const inodes = listeningInodes(port, isUdp);
  if (inodes.size === 0) return null;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode !== undefined && inodes.has(inode)) {
          return { pid: Number(pid), command: commandOf(pid) };
        }
      }
    } catch {
      // Gone, or another user's.
    }
  }
  return null;
}

/** "node src/main.ts run -c weir.yaml", folders left out of the program's name. */
function commandOf(pid: string): string {
  const [program = '', ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  const words = [basename(program), ...rest].join(' ');
  return words.length > COMMAND_MAX ? `${words.slice(0, COMMAND_MAX)}...` : words;
}
