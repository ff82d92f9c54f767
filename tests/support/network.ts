/**
 * Network namespaces of a test's own, made with unshare(2) and left with the test's process: nothing of it touches the machine's network.
 *
 * A socket belongs to the namespace its thread was in when it was made, so one process can hold clients, endpoints and weir in three of them:
 * `inside()` makes things in one and comes back. Child processes start where they are spawned.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { errno, fast } from '../../src/sys/ffi.ts';
import { errnoText } from '../../src/sys/libc.ts';

/** <linux/sched.h> */
const CLONE_NEWNET = 0x40000000;
const unshare = fast<(flags: number) => number>('unshare', ['int32'], 'int32');
const setns = fast<(fd: number, kind: number) => number>('setns', ['int32', 'int32'], 'int32');
const CURRENT = '/proc/thread-self/ns/net';

export class Network {
  private readonly fd: number;

  private constructor() {
    this.fd = openSync(CURRENT, 'r');
  }

  /** The namespace this process is in. */
  static current(): Network {
    return new Network();
  }

  /** Makes a new one, with loopback up, and is in it. */
  static enterNew(): Network {
    if (unshare(CLONE_NEWNET) < 0) throw new Error(`unshare: ${errnoText(errno[0]!)}`);
    ip('link', 'set', 'lo', 'up');
    return new Network();
  }

  enter(): void {
    if (setns(this.fd, CLONE_NEWNET) < 0) throw new Error(`setns: ${errnoText(errno[0]!)}`);
  }

  /** Runs `act` in it and comes back to `home`. Nothing else may run meanwhile. */
  async inside<T>(home: Network, act: () => T | Promise<T>): Promise<T> {
    this.enter();
    try {
      return await act();
    } finally {
      home.enter();
    }
  }

  /** What `ip link ... netns` calls it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.fd}`;
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** ip(8) in the namespace this process is in. */
export function ip(...words: string[]): void {
  execFileSync('ip', words, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  });
}

/** Sets a sysctl of the namespace: `ipv4/ip_local_port_range`. */
export function setNet(name: string, value: string): void {
  writeFileSync(`/proc/sys/net/${name}`, value);
}

/** Why namespaces cannot be made here, or false: for `skip`. */
export function cannotUnshare(): string | false {
  const home = Network.current();
  try {
    const made = Network.enterNew();
    home.enter();
    made.close();
    return false;
  } catch (error) {
    home.enter();
    return `network namespaces cannot be made here: ${(error as Error).message}`;
  } finally {
    home.close();
  }
}
