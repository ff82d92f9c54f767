/**
 * notify: sd_notify(3), telling systemd how the service does, when NOTIFY_SOCKET is set. Node has no datagram socket of AF_UNIX.
 * A lost message is no reason to fail: every call is best effort.
 */
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM } from '../../sys/constants.generated.ts';
import { close, connect, low, send, socket } from '../../sys/libc.ts';

export class Notifier {
  private fd = -1;
  private watchdog: NodeJS.Timeout | null = null;
  /** How often systemd wants WATCHDOG=1, in ms: half of its limit; 0: not at all. */
  readonly watchdogMs: number;

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    const { NOTIFY_SOCKET: path, WATCHDOG_USEC: limit, WATCHDOG_PID: pid } = environment;
    const isOurs = pid === undefined || Number(pid) === process.pid;
    this.watchdogMs = path && limit && isOurs ? Math.floor(Number(limit) / 2000) || 0 : 0;
    if (!path || !/^[/@]/.test(path)) return;
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (connect(fd, { kind: 'unix', path }) < 0) close(fd);
    else this.fd = fd;
  }

  /** "READY=1", "STATUS=..."; several lines in one message. */
  tell(...lines: string[]): void {
    if (this.fd < 0) return;
    const bytes = Buffer.from(lines.join('\n'));
    low.bytes.set(bytes, 0);
    send(this.fd, low.address, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** sd_notify(3): RELOADING=1 wants the time of the monotonic clock beside it. */
  reloading(): void {
    this.tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** Feeds systemd's watchdog from now on, as long as all is well; without one nothing happens. */
  feedWatchdog(isWell: () => boolean): void {
    if (this.watchdogMs > 0) this.watchdog = setInterval(() => isWell() && this.tell('WATCHDOG=1'), this.watchdogMs);
  }

  close(): void {
    if (this.watchdog !== null) clearInterval(this.watchdog);
    this.watchdog = null;
    if (this.fd >= 0) close(this.fd);
    this.fd = -1;
  }
}
