/** Columns: rows of text as a table for eyes, and numbers and times in few characters. */

/** Rows under headings; numbers stand to the right. Control characters cannot reach the terminal. */
export function table(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map((cell) => printable(String(cell))));
  const widths = headings.map((heading, column) => Math.max(heading.length, ...texts.map((row) => row[column]!.length)));
  const isRight = headings.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (isRight[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
  return [line(headings), ...texts.map(line)].join('\n') + '\n';
}

/** A text of somebody else's, fit for a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}

/** "45s", "3m 20s", "4h 5m", "3d 4h". */
export function spanText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [d, h, m, s] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  if (d > 0) return `${d}d ${h}h`;
  if (h > 0) return `${h}h ${m}m`;
  return m > 0 ? `${m}m ${s}s` : `${s}s`;
}

/** How long ago an RFC 3339 time was; '' for none. */
export function agoText(time: string | null | undefined, nowMs: number): string {
  return time === null || time === undefined ? '' : spanText((nowMs - Date.parse(time)) / 1000);
}
