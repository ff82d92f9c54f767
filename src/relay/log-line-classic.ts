/** log-line-classic: Apache's common log format, and combined with its two more fields. Escapes as Apache does: \xHH. */
import { dayText, LogLine } from './log-line.ts';
import type { LogRecord } from './log-record.ts';

export class ClassicLine extends LogLine {
  private readonly isCombined: boolean;

  constructor(redactQuery: readonly string[], isCombined: boolean) {
    super(false, redactQuery);
    this.isCombined = isCombined;
  }

  protected line(r: LogRecord): void {
    this.hostOnly(r.client);
    this.text(' - - [');
    this.secondOf(r.timeMs);
    this.text('] "');
    this.requestLine(r);
    this.text('" ');
    this.integer(r.status);
    this.text(' ');
    if (r.bytesOut === 0) this.text('-');
    else this.integer(r.bytesOut);
    if (!this.isCombined) return;
    this.text(' "');
    this.classicRange(r.bytes, r.refererStart, r.refererEnd);
    this.text('" "');
    this.classicRange(r.bytes, r.userAgentStart, r.userAgentEnd);
    this.text('"');
  }

  protected textOfSecond(second: number): string {
    return dayText(second) + ' +0000';
  }
}
