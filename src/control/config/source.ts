/** Source: the text of one config file, and offsets in it turned into lines and columns. */

/** A stretch of a source, offsets in UTF-16 units, `end` exclusive. */
export interface Place {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

export class Source {
  readonly file: string;
  readonly text: string;
  readonly lineStarts: number[];

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    this.lineStarts = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.lineStarts.push(at + 1);
  }

  /** Line and column of an offset, both from 1. Offsets outside the text are moved to its edge. */
  position(offset: number): { line: number; col: number } {
    const at = Math.min(Math.max(0, offset), this.text.length);
    let low = 0;
    let high = this.lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.lineStarts[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, col: at - this.lineStarts[low] + 1 };
  }

  /** Text of a line (from 1) without its line end. */
  lineText(line: number): string {
    const start = this.lineStarts[line - 1] ?? this.text.length;
    const end = line < this.lineStarts.length ? this.lineStarts[line] - 1 : this.text.length;
    return this.text.slice(start, end).replace(/\r$/, '');
  }

  /** The stretch from `start` to `end`, made to lie within the text and to go forward. */
  place(start: number, end: number): Place {
    const from = Math.min(Math.max(0, start), this.text.length);
    return { source: this, start: from, end: Math.min(Math.max(from, end), this.text.length) };
  }
}

/** "weir.yaml:83". */
export function placeText(place: Place): string {
  return `${place.source.file}:${place.source.position(place.start).line}`;
}
