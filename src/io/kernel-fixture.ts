/** kernel-fixture: the world around a driver that works on the kernel, for the conformance suite: sockets on loopback, files, pipes. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import type { Address, Engine } from '../base/wire.ts';
import {
  AF_UNIX,
  EAGAIN,
  O_APPEND,
  O_CREAT,
  O_WRONLY,
  RLIMIT_NOFILE,
  SO_RCVBUF,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../sys/constants.generated.ts';
import {
  bind,
  check,
  close,
  connect,
  dup,
  getrlimit,
  listen,
  localAddress,
  low,
  open,
  pipe,
  read,
  setNonBlocking,
  setrlimit,
  setsockopt,
  socketpair,
  streamSocket,
} from '../sys/libc.ts';
import type { Fixture } from './conformance.ts';

/** Small, so that a test need not send much until the kernel takes no more. */
const RECV_BUFFER_BYTES = 64 * 1024;
/** A queue of 0 still holds one connection (listen(2)); one more stands half open, the rest is not answered. */
const FILLERS = 4;

function listenOnLoopback(backlog: number): { fd: number; address: Address } {
  const fd = check('socket', streamSocket({ kind: 'ip', host: '127.0.0.1', port: 0 }));
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECV_BUFFER_BYTES);
  check('bind', bind(fd, { kind: 'ip', host: '127.0.0.1', port: 0 }));
  check('listen', listen(fd, backlog));
  const address = localAddress(fd);
  assert(address !== null && typeof address === 'object', 'a bound socket has an address');
  return { fd, address };
}

/** Open sockets, pipes and rings of this process. Files are not counted: the test reporter opens its own when it likes. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return !readlinkSync(`/proc/self/fd/${fd}`).startsWith('/');
    } catch {
      return false;
    }
  }).length;
}

/** What the driver can do: see {@link Fixture}. */
export function kernelFixture(engine: Engine, seesUnreadWhilePaused: boolean, flushStallMs?: number): Fixture {
  const closers: (() => void)[] = [];
  const closedLater = (fd: number) => void closers.push(() => close(fd));
  return {
    engine,
    seesUnreadWhilePaused,
    flushStallMs,
    listen() {
      const { fd, address } = listenOnLoopback(512);
      return { fd, address, close: () => void close(fd) };
    },
    refused() {
      // A port that was given out and is free again.
      const { fd, address } = listenOnLoopback(1);
      close(fd);
      return address;
    },
    deaf() {
      const { fd, address } = listenOnLoopback(0);
      closedLater(fd);
      for (let i = 0; i < FILLERS; i++) {
        const filler = check('socket', streamSocket(address));
        closedLater(filler);
        connect(filler, address);
      }
      return address;
    },
    pair() {
      const pair = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC);
      assert(typeof pair === 'object', 'a socket pair can be had');
      return pair;
    },
    file() {
      const folder = mkdtempSync(join(tmpdir(), 'weir-io-'));
      const path = join(folder, 'file');
      const fd = check('open', open(path, O_WRONLY | O_CREAT | O_APPEND));
      return {
        fd,
        text: () => readFileSync(path, 'latin1'),
        close() {
          close(fd);
          rmSync(folder, { recursive: true });
        },
      };
    },
    pipe() {
      const ends = pipe(0);
      assert(typeof ends === 'object', 'a pipe can be had');
      const [from, to] = ends;
      check('fcntl', setNonBlocking(from));
      return {
        fd: to,
        read() {
          const count = read(from, low.address, 16 * 1024);
          return count === -EAGAIN ? 0 : check('read', count);
        },
        close() {
          close(from);
          close(to);
        },
      };
    },
    exhaustDescriptors() {
      const limits = getrlimit(RLIMIT_NOFILE);
      assert(typeof limits === 'object', 'the limit can be read');
      const lowestFree = check('dup', dup(0));
      close(lowestFree);
      check('setrlimit', setrlimit(RLIMIT_NOFILE, lowestFree, limits.hard));
      return () => void check('setrlimit', setrlimit(RLIMIT_NOFILE, limits.soft, limits.hard));
    },
    // What deaf() needs stays open.
    descriptors: () => openDescriptors() - closers.length,
    close() {
      for (const closeOne of closers) closeOne();
      engine.close();
    },
  };
}
