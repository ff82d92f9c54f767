/**
 * One worker as a process: how it is started, told, heard and ended. Which worker is started when is fleet.ts's question.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { DESCRIPTORS_PER_DATAGRAM, type DownMessage, type UpMessage, type WorkerStart } from '../../state/channel.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from '../../sys/constants.generated.ts';
import { check, close, sendDescriptors, socketpair } from '../../sys/libc.ts';
import { readLines, writeLine } from './lines.ts';
import type { HeldSocket } from './sockets.ts';

/** The data plane is started by path: control imports nothing of it. */
export const workerPath: string = fileURLToPath(new URL('../../worker/worker.ts', import.meta.url));
const bootUrl = new URL('../../base/boot.ts', import.meta.url).href;

const CHANNEL_FD = 3;
const TABLE_FD = 4;
const PASS_FD = 5;
const SOCKETS_FROM_FD = 6;
/** How long the end of the channel is waited for after a regular exit. */
const LAST_WORDS_MS = 500;

export interface WorkerSpec {
  slot: number;
  stripe: number;
  engine: WorkerStart['engine'];
  tableFd: number;
  sockets: readonly HeldSocket[];
  descriptorsMax: number;
  path: string;
  environment: Readonly<Record<string, string | undefined>>;
}

export interface WorkerOwner {
  onMessage(worker: WorkerProcess, message: UpMessage): void;
  /** Exactly once, last. */
  onExit(worker: WorkerProcess, code: number | null, signal: string | null): void;
}

export class WorkerProcess {
  readonly slot: number;
  readonly stripe: number;
  /** 0 when it could not be started; onExit follows. */
  readonly pid: number;
  /** ms, clock of performance.now(). */
  readonly startedAt: number;
  /** Latest plan it has answered ready to; -1: none yet. */
  readyEpoch = -1;
  engine: 'uring' | 'epoll' | null = null;
  engineWhy: string | null = null;
  isLeaving = false;
  /** Answer of a drain: connections cut; null until it came. */
  cut: number | null = null;
  /** Watchdog: last heartbeat seen, and when it was new. */
  heartbeat = -1;
  heartbeatAt: number;
  private readonly child: ChildProcess;
  private readonly channel: Socket;
  private passFd: number;

  constructor(spec: WorkerSpec, owner: WorkerOwner) {
    this.slot = spec.slot;
    this.stripe = spec.stripe;
    const pair = socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (typeof pair === 'number') check('socketpair', pair);
    const [ours, theirs] = pair as [number, number];
    const start: WorkerStart = {
      slot: spec.slot,
      stripe: spec.stripe,
      engine: spec.engine,
      channelFd: CHANNEL_FD,
      tableFd: TABLE_FD,
      fdPassFd: PASS_FD,
      sockets: spec.sockets.map((socket, at) => ({ key: socket.key, fd: SOCKETS_FROM_FD + at })),
      descriptorsMax: spec.descriptorsMax,
    };
    this.startedAt = performance.now();
    this.heartbeatAt = this.startedAt;
    try {
      this.child = spawn(process.execPath, ['--import', bootUrl, spec.path, JSON.stringify(start)], {
        stdio: ['ignore', 'inherit', 'inherit', 'pipe', spec.tableFd, theirs, ...spec.sockets.map((socket) => socket.fd)],
        // Its own session: a terminal's Ctrl-C is for the control process, which then drains.
        detached: true,
        env: spec.environment as NodeJS.ProcessEnv,
      });
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
    this.passFd = ours;
    this.pid = this.child.pid ?? 0;
    this.channel = this.child.stdio[CHANNEL_FD] as Socket;
    this.channel.on('error', () => {});
    readLines(
      this.channel,
      (message) => owner.onMessage(this, message),
      () => this.kill('SIGKILL'),
    );
    let isOver = false;
    const over = (code: number | null, signal: string | null): void => {
      if (isOver) return;
      isOver = true;
      close(this.passFd);
      this.passFd = -1;
      owner.onExit(this, code, signal);
    };
    this.child.once('exit', (code, signal) => {
      // After a regular end, what it said last may still be in the channel. A crash is acted on at once: the kernel may take its time to
      // take a ring apart, and holds the channel open until then.
      if (code !== 0) return over(code, signal);
      const timer = setTimeout(() => over(code, signal), LAST_WORDS_MS);
      this.child.once('close', () => {
        clearTimeout(timer);
        over(code, signal);
      });
    });
    this.child.once('error', () => over(null, null));
  }

  send(message: DownMessage): void {
    writeLine(this.channel, message);
  }

  /** Passes sockets ahead of the plan that names them. Returns 0 or -errno. */
  pass(sockets: readonly HeldSocket[]): number {
    for (let at = 0; at < sockets.length; at += DESCRIPTORS_PER_DATAGRAM) {
      const part = sockets.slice(at, at + DESCRIPTORS_PER_DATAGRAM).map((socket) => socket.fd);
      const result = sendDescriptors(this.passFd, Uint8Array.of(part.length), part);
      if (result < 0) return result;
    }
    return 0;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Control leaves and this one stays behind: nothing here keeps the process. */
  unref(): void {
    this.child.unref();
    this.channel.unref();
  }
}
