/**
 * Writes the lines of the access log through the worker's loop. Lines gather in a block and go out together; what cannot be written in time is dropped and counted, so
 * that neither a full disk nor a stalled reader holds traffic up.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { type Blocks, LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import type { Engine, TimerOwner } from '../base/wire.ts';
import type { WorkerWriter } from '../state/doors.ts';

/** Blocks waiting to be written at most: 1 MiB, about 4,000 lines. */
const WAITING_MAX = 16;
/** A line waits no longer than this for company. */
const GATHER_MS = 100;
/** Longer lines do not happen: paths are limited, and the formatter cuts. */
const LINE_BYTES_MAX = 16 * 1024;

/** Writes one line at bytes[at...]; returns its end, or -1 when it does not fit before `end`. */
export type LineWriter<Line> = (line: Line, bytes: Uint8Array, at: number, end: number) => number;

export class LogWriter<Line> implements TimerOwner {
  private readonly engine: Engine;
  private readonly blocks: Blocks;
  private readonly table: WorkerWriter;
  private readonly format: LineWriter<Line>;
  private path = '';
  private fd = -1;
  private block = NO_BLOCK;
  private at = 0;
  private lines = 0;
  /** (block, end, lines) each. */
  private readonly waiting: number[] = [];
  private isWriting = false;
  private hasTimer = false;

  constructor(engine: Engine, table: WorkerWriter, format: LineWriter<Line>) {
    this.engine = engine;
    this.blocks = engine.blocks;
    this.table = table;
    this.format = format;
  }

  /** 'stdout', 'stderr', a path, or '' to stop. Throws when the file cannot be opened; the old one stays then. */
  open(to: string): void {
    if (to === this.path) return;
    this.reopen(to);
  }

  /** Opens the same path again: the file was rotated. */
  reopen(to: string = this.path): void {
    const fd =
      to === ''
        ? -1
        : to === 'stdout'
          ? 1
          : to === 'stderr'
            ? 2
            : openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NONBLOCK, 0o640);
    const old = this.fd;
    this.fd = fd;
    this.path = to;
    // A write under way may still use the old descriptor: it is closed once that is certainly over.
    if (old > 2) setTimeout(() => closeSync(old), 5000).unref();
  }

  write(line: Line): void {
    if (this.fd < 0) return;
    const { blocks } = this;
    if (this.block !== NO_BLOCK && this.at + LINE_BYTES_MAX > blocks.start(this.block) + LARGE_BYTES) this.queue();
    if (this.block === NO_BLOCK) {
      if (this.waiting.length >= WAITING_MAX * 3 || (this.block = blocks.takeLarge()) === NO_BLOCK) {
        this.table.logLinesDropped(1);
        return;
      }
      this.at = blocks.start(this.block);
    }
    const end = this.format(line, blocks.bytes, this.at, blocks.start(this.block) + LARGE_BYTES);
    if (end < 0) {
      this.table.logLinesDropped(1);
      return;
    }
    this.at = end;
    this.lines++;
    if (!this.hasTimer) {
      this.hasTimer = true;
      this.engine.setTimer(GATHER_MS, this, 0);
    }
  }

  onTimer(): void {
    this.hasTimer = false;
    this.queue();
  }

  private queue(): void {
    if (this.block === NO_BLOCK) return;
    this.waiting.push(this.block, this.at, this.lines);
    this.block = NO_BLOCK;
    this.lines = 0;
    this.next();
  }

  private next(): void {
    if (this.isWriting || this.waiting.length === 0) return;
    const [block, end, lines] = this.waiting.splice(0, 3) as [number, number, number];
    const start = this.blocks.start(block);
    this.isWriting = true;
    this.put(block, start, end, lines);
  }

  private put(block: number, start: number, end: number, lines: number): void {
    this.engine.write(this.fd, block, start, end, (result) => {
      if (result > 0 && start + result < end) {
        this.put(block, start + result, end, lines);
        return;
      }
      if (result <= 0) this.table.logLinesDropped(lines);
      this.blocks.release(block);
      this.isWriting = false;
      this.next();
    });
  }
}
