/**
 * The grammar of a head: start line and field lines, byte by byte, resumable at any byte.
 *
 *     request:  method -> target -> version -> crlf --.
 *     response: status literal -> digits -> reason ---+-> line -> name -> space -> value -> valueLf -.
 *                                                    '---- ^ ----------------------------------------'
 *                                                          '-> endLf: complete
 *
 * Rules
 * 1. A call either completes the head, meets an impossible byte, or has looked at every byte it may: no byte is looked at again.
 *    (A field that ends is read once more for its meaning, the absolute form of a target once more for its parts.)
 * 2. Whether and where a head is wrong depends on its bytes alone, never on how they were cut: every limit stands at a byte.
 * 3. The only line end is CR LF (RFC 9112 §2.2 allows a bare LF, and every parser that does has had its smuggling bug).
 */
import { FIELD_STRIDE, field, type Head, method, targetForm } from '../../base/head.ts';
import { isRefused, underscoredField } from '../../base/underscores.ts';
import { ascii, COLON, CR, LF, nameClass, QUESTION, SLASH, SPACE, TAB, target, targetClass, tokenClass } from './bytes.ts';
import { check } from './checks.ts';
import { type HeadMeaning, requestFieldsTaken, responseFieldsTaken } from './meaning.ts';
import { fieldIdAt, methodAt } from './names.ts';
import { plainRequestLine, plainStatusLine, viewOf } from './plain.ts';
import { readAbsoluteTarget, readAuthorityTarget } from './target.ts';
import { mayTrail } from './trailers.ts';

/** Longer methods are answered 501 (RFC 9112 §3): no registered method is half as long. */
const METHOD_BYTES_MAX = 32;
const VERSION_PREFIX = ascii('HTTP/1.');
const ASTERISK = 42;
const UNDERSCORE = 95;
// Four times the same byte.
const ONES = 0x01010101;
const SPACES = 0x20202020;
const COLONS = 0x3a3a3a3a;
const DELS = 0x7f7f7f7f;
const TOPS = 0x80808080;

/** What is being read. */
export const section = Object.freeze({ request: 0, response: 1, trailers: 2 });

const phase = Object.freeze({
  method: 0,
  targetFirst: 1,
  path: 2,
  query: 3,
  otherTarget: 4,
  version: 5,
  statusLine: 6,
  reason: 7,
  startLf: 8,
  /** From here on lines of fields. */
  line: 9,
  name: 10,
  space: 11,
  value: 12,
  valueLf: 13,
  endLf: 14,
  done: 15,
});

export interface ScanLimits {
  headBytesMax: number;
  fieldBytesMax: number;
  fieldsMax: number;
  targetBytesMax: number;
}

export class HeadScanner {
  private readonly meaning: HeadMeaning;
  private readonly headBytesMax: number;
  private readonly fieldBytesMax: number;
  private readonly fieldsMax: number;
  private readonly targetBytesMax: number;
  private readonly underscores: number;
  private section = 0;
  private taken: Uint8Array = requestFieldsTaken;
  private phase = 0;
  /** How far the head has been looked at; where the impossible byte stands after a fault. Relative, as all below. */
  at = 0;
  /** Where the line or target being read begins; in `version` and `statusLine` the number of bytes of it already seen. */
  private mark = 0;
  private nameEnd = 0;
  private valueStart = 0;
  private hasUnderscore = false;
  /** Kind of the byte before in a path. */
  private before = 0;
  private wrong = 0;

  constructor(limits: ScanLimits, underscoresRule: number, meaning: HeadMeaning) {
    this.headBytesMax = limits.headBytesMax;
    this.fieldBytesMax = limits.fieldBytesMax;
    this.fieldsMax = limits.fieldsMax;
    this.targetBytesMax = limits.targetBytesMax;
    this.underscores = underscoresRule;
    this.meaning = meaning;
  }

  begin(what: number): void {
    this.section = what;
    this.taken = what === section.request ? requestFieldsTaken : responseFieldsTaken;
    this.phase = what === section.request ? phase.method : what === section.response ? phase.statusLine : phase.line;
    this.at = 0;
    this.mark = 0;
    this.nameEnd = 0;
    this.valueStart = 0;
    this.hasUnderscore = false;
    this.before = target.plain;
    this.wrong = 0;
  }

  /**
   * Looks at bytes[start, end), where the head begins at `start`. Returns its size when it is complete, 0 when more bytes are
   * needed, and the negative number of a check when it is wrong.
   */
  scan(head: Head, bytes: Uint8Array, start: number, end: number): number {
    const limit = start + this.headBytesMax;
    const stop = Math.min(end, limit);
    let p = start + this.at;
    if (this.at === 0) {
      if (this.section === section.request) p = plainRequestLine(head, bytes, start, stop, this.targetBytesMax);
      else if (this.section === section.response) p = plainStatusLine(head, bytes, start, stop);
      if (p > start) this.phase = phase.line;
    }
    if (this.phase < phase.line) {
      p =
        this.section === section.request
          ? this.requestLine(head, bytes, start, p, stop)
          : this.statusLine(head, bytes, start, p, stop);
    }
    while (p >= 0) {
      if (this.phase === phase.line) p = this.plainFields(head, bytes, start, p, stop);
      if (p >= 0) p = this.oneField(head, bytes, start, p, stop);
      if (this.phase === phase.done) return p - start;
    }
    if (this.wrong !== 0) return -this.wrong;
    return stop === limit ? -check.headTooLarge : 0;
  }

  /** Notes where to go on, when p has reached the end of what there is. */
  private pause(next: number, at: number): number {
    this.phase = next;
    this.at = at;
    return -1;
  }

  private fail(wrong: number, at: number): number {
    this.wrong = wrong;
    this.at = at;
    return -1;
  }

  /** request-line = method SP request-target SP HTTP-version CRLF. Returns where the next line begins, or -1. */
  private requestLine(head: Head, bytes: Uint8Array, start: number, from: number, stop: number): number {
    let p = from;
    let now = this.phase;
    if (now === phase.method) {
      const most = start + METHOD_BYTES_MAX;
      const until = Math.min(stop, most);
      while (p < until && tokenClass[bytes[p]!] === 1) p++;
      if (p === stop) return this.pause(phase.method, p - start);
      if (bytes[p] !== SPACE || p === start) {
        const isLong = p === most && tokenClass[bytes[p]!] === 1;
        return this.fail(isLong ? check.methodTooLong : check.notMethod, p - start);
      }
      head.methodEnd = p - start;
      head.method = methodAt(viewOf(bytes), start, p - start);
      p++;
      now = phase.targetFirst;
    }
    if (now === phase.targetFirst) {
      if (p === stop) return this.pause(now, p - start);
      const c = bytes[p]!;
      this.mark = p - start;
      now = phase.otherTarget;
      if (head.method === method.CONNECT) {
        if (targetClass[c] === target.end || c === SLASH) return this.fail(check.targetForm, p - start);
      } else if (c === SLASH) {
        head.pathStart = p - start;
        now = phase.path;
      } else if (c === ASTERISK) {
        if (head.method !== method.OPTIONS) return this.fail(check.targetForm, p - start);
      } else if ((c | 32) !== 104) {
        // Neither of the two schemes begins so.
        return this.fail(targetClass[c] === target.end ? check.targetByte : check.targetForm, p - start);
      }
    }
    if (now < phase.version) {
      const most = start + this.mark + this.targetBytesMax;
      const until = Math.min(stop, most);
      if (now === phase.path) {
        let before = this.before;
        while (p < until) {
          const kind = targetClass[bytes[p]!]!;
          if (kind >= target.question) break;
          if (kind !== target.plain) {
            if (kind === target.suspect || (before === target.slash && kind <= target.dot)) head.pathIsPlain = false;
          }
          before = kind;
          p++;
        }
        this.before = before;
        if (p < until && bytes[p] === QUESTION) {
          head.pathEnd = p - start;
          p++;
          head.queryStart = p - start;
          now = phase.query;
        }
      }
      if (now !== phase.path) while (p < until && targetClass[bytes[p]!] !== target.end) p++;
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] !== SPACE) {
        const isLong = p === most && targetClass[bytes[p]!] !== target.end;
        return this.fail(isLong ? check.targetTooLong : check.targetByte, p - start);
      }
      if (now === phase.path) head.pathEnd = p - start;
      else if (now === phase.query) head.queryEnd = p - start;
      else {
        const wrong = this.readTarget(head, bytes, start, p);
        if (wrong !== 0) return this.fail(wrong, p - start);
      }
      p++;
      this.mark = 0;
      now = phase.version;
    }
    if (now === phase.version) {
      let i = this.mark;
      for (; i < 7 && p < stop; i++, p++) {
        const c = bytes[p]!;
        if (c !== VERSION_PREFIX[i])
          return this.fail(i === 5 && isDigit(c) ? check.versionUnknown : check.versionSyntax, p - start);
      }
      if (i === 7 && p < stop) {
        const c = bytes[p]!;
        // A minor version above 1 may be read as 1.1 (RFC 9110 §2.5); nobody sends one but to find out.
        if (c !== 48 && c !== 49) return this.fail(isDigit(c) ? check.versionUnknown : check.versionSyntax, p - start);
        head.version = c - 38;
        i = 8;
        p++;
      }
      this.mark = i;
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] !== CR) return this.fail(isDigit(bytes[p]!) ? check.versionSyntax : check.startLineEnd, p - start);
      p++;
    }
    return this.startLf(bytes, start, p, stop);
  }

  private readTarget(head: Head, bytes: Uint8Array, start: number, to: number): number {
    const from = start + this.mark;
    if (head.method === method.CONNECT) return readAuthorityTarget(head, bytes, start, from, to);
    if (bytes[from] !== ASTERISK) return readAbsoluteTarget(head, bytes, start, from, to);
    if (to - from > 1) return check.targetForm;
    head.form = targetForm.asterisk;
    head.pathStart = from - start;
    head.pathEnd = to - start;
    return 0;
  }

  /**
   * status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF. The second space may be missing (many servers leave it out
   * with the reason), and any 1.x is read as 1.1. Returns where the next line begins, or -1.
   */
  private statusLine(head: Head, bytes: Uint8Array, start: number, from: number, stop: number): number {
    let p = from;
    let now = this.phase;
    if (now === phase.statusLine) {
      let i = this.mark;
      for (; i < 12 && p < stop; i++, p++) {
        const c = bytes[p]!;
        if (i < 7) {
          if (c !== VERSION_PREFIX[i]) return this.fail(check.statusSyntax, p - start);
        } else if (i === 8) {
          if (c !== SPACE) return this.fail(check.statusSyntax, p - start);
        } else if (!isDigit(c) || (i === 9 && c === 48)) {
          return this.fail(check.statusSyntax, p - start);
        } else if (i === 7) {
          head.version = c === 48 ? 10 : 11;
        } else {
          head.status = head.status * 10 + c - 48;
        }
      }
      this.mark = i;
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] === SPACE) {
        head.reasonStart = head.reasonEnd = p + 1 - start;
        now = phase.reason;
      } else if (bytes[p] === CR) now = phase.startLf;
      else return this.fail(isDigit(bytes[p]!) ? check.statusSyntax : check.startLineEnd, p - start);
      p++;
    }
    if (now === phase.reason) {
      while (p < stop) {
        const c = bytes[p]!;
        if ((c < 32 && c !== TAB) || c === 127) break;
        p++;
      }
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] !== CR) return this.fail(bytes[p] === LF ? check.startLineEnd : check.reasonByte, p - start);
      head.reasonEnd = p - start;
      p++;
    }
    return this.startLf(bytes, start, p, stop);
  }

  private startLf(bytes: Uint8Array, start: number, p: number, stop: number): number {
    if (p === stop) return this.pause(phase.startLf, p - start);
    if (bytes[p] !== LF) return this.fail(check.startLineEnd, p - start);
    this.phase = phase.line;
    return p + 1;
  }

  /**
   * Takes field lines as long as they are ordinary and all there. Returns where the first line begins that is not, for oneField() to
   * look at byte by byte; or -1 when a line is well-formed but says something wrong.
   */
  private plainFields(head: Head, bytes: Uint8Array, start: number, from: number, stop: number): number {
    const { taken, fieldsMax, fieldBytesMax } = this;
    const { fields } = head;
    const isTrailers = this.section === section.trailers;
    const view = viewOf(bytes);
    // A whole line that is not the last thing in `bytes` has at least CR LF and two more bytes behind its value.
    const last = stop - 4;
    let line = from;
    let count = head.count;
    while (count < fieldsMax) {
      // Four bytes at a time: the lowest marked byte is exact, those above it may be marked by its borrow.
      let p = line;
      let marks = 0;
      for (; p <= last; p += 4) {
        const x = view.getInt32(p, true) ^ COLONS;
        marks = (x - ONES) & ~x & TOPS;
        if (marks !== 0) break;
      }
      if (p > last) break;
      p += lowestByte(marks);
      if (p === line) break;
      const nameEnd = p++;
      const id = fieldIdAt(view, line, nameEnd - line);
      if (id === field.other && !isPlainName(bytes, line, nameEnd)) break;
      while (p <= last && (bytes[p] === SPACE || bytes[p] === TAB)) p++;
      const valueStart = p;
      // The first control byte (below 0x20, or 0x7F) that is no TAB.
      while (p <= last) {
        const x = view.getInt32(p, true);
        const y = x ^ DELS;
        marks = (((x - SPACES) & ~x) | ((y - ONES) & ~y)) & TOPS;
        if (marks === 0) p += 4;
        else {
          p += lowestByte(marks);
          if (bytes[p] !== TAB) break;
          p++;
        }
      }
      if (p > last || bytes[p] !== CR || bytes[p + 1] !== LF || p - line > fieldBytesMax) break;
      let valueEnd = p;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd--;
      const slot = count * FIELD_STRIDE;
      fields[slot] = id;
      fields[slot + 1] = line - start;
      fields[slot + 2] = nameEnd - start;
      fields[slot + 3] = valueStart - start;
      fields[slot + 4] = valueEnd - start;
      head.count = ++count;
      if (isTrailers) {
        if (!mayTrail(id, bytes, line, nameEnd)) head.remove(count - 1);
      } else if (taken[id] === 1) {
        const wrong = this.meaning.take(head, bytes, start, id);
        if (wrong !== 0) return this.fail(wrong, p + 1 - start);
      }
      line = p + 2;
    }
    return line;
  }

  /**
   * field-line CRLF, or the CRLF that ends the section, from wherever it was left. Returns where the next line begins (or, with phase `done`, where the
   * head ends), or -1.
   */
  private oneField(head: Head, bytes: Uint8Array, start: number, from: number, stop: number): number {
    let p = from;
    let now = this.phase;
    if (now === phase.line) {
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] === CR) {
        p++;
        now = phase.endLf;
      } else {
        if (head.count >= this.fieldsMax) return this.fail(check.fieldsTooMany, p - start);
        this.mark = p - start;
        now = phase.name;
      }
    }
    if (now === phase.endLf) {
      if (p === stop) return this.pause(now, p - start);
      if (bytes[p] !== LF) return this.fail(check.bareCr, p - start);
      this.phase = phase.done;
      return p + 1;
    }
    const line = start + this.mark;
    const most = line + this.fieldBytesMax;
    const until = Math.min(stop, most);
    if (now === phase.name) {
      for (; p < until && nameClass[bytes[p]!] !== 0; p++) if (bytes[p] === UNDERSCORE) this.hasUnderscore = true;
      if (p === stop) return this.pause(now, p - start);
      if (p === most) return this.fail(check.fieldTooLarge, p - start);
      if (bytes[p] !== COLON || p === line) return this.fail(wrongInName(bytes[p]!, p === line), p - start);
      if (this.hasUnderscore && isRefused(this.underscores)) return this.fail(check.underscore, p - start);
      this.nameEnd = p - start;
      p++;
      now = phase.space;
    }
    if (now === phase.space) {
      while (p < until && (bytes[p] === SPACE || bytes[p] === TAB)) p++;
      if (p === stop) return this.pause(now, p - start);
      this.valueStart = p - start;
      now = phase.value;
    }
    if (now === phase.value) {
      for (; p < until; p++) {
        const c = bytes[p]!;
        if ((c < 32 && c !== TAB) || c === 127) break;
      }
      if (p === stop) return this.pause(now, p - start);
      const c = bytes[p]!;
      if (c !== CR) return this.fail(p === most ? check.fieldTooLarge : c === LF ? check.bareLf : check.valueByte, p - start);
      p++;
      now = phase.valueLf;
    }
    if (p === stop) return this.pause(now, p - start);
    if (bytes[p] !== LF) return this.fail(check.bareCr, p - start);
    const valueStart = start + this.valueStart;
    let valueEnd = p - 1;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd--;
    let id = fieldIdAt(viewOf(bytes), line, start + this.nameEnd - line);
    if (this.hasUnderscore) id = underscoredField(this.underscores, id);
    this.hasUnderscore = false;
    head.addField(id, this.mark, this.nameEnd, this.valueStart, valueEnd - start);
    if (this.section === section.trailers) {
      if (!mayTrail(id, bytes, line, start + this.nameEnd)) head.remove(head.count - 1);
    } else if (id > 0 && this.taken[id] === 1) {
      const wrong = this.meaning.take(head, bytes, start, id);
      if (wrong !== 0) return this.fail(wrong, p - start);
    }
    this.phase = phase.line;
    return p + 1;
  }
}

/** Offset of the lowest byte marked at its top bit. */
function lowestByte(marks: number): number {
  return (31 - Math.clz32(marks & -marks)) >> 3;
}

/** Only tchars, and no underscore? */
function isPlainName(bytes: Uint8Array, from: number, to: number): boolean {
  let p = from;
  while (p < to && nameClass[bytes[p]!] === 1) p++;
  return p === to;
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

function wrongInName(c: number, isFirst: boolean): number {
  if (c === SPACE || c === TAB) return isFirst ? check.leadingSpace : check.spaceInName;
  if (c === COLON) return check.emptyName;
  if (c === LF) return isFirst ? check.bareLf : check.noColon;
  if (c === CR) return check.noColon;
  return check.nameByte;
}
