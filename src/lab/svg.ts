/** Svg: line charts as text, small enough to be committed. Whole numbers, one path a line, no script, readable on a white and on a dark page. */

export interface Line {
  label: string;
  color: string;
  values: Float64Array;
}

export interface Panel {
  title: string;
  lines: readonly Line[];
  /** Formats a value of the axis. */
  text: (value: number) => string;
  /** Largest value shown; null: that of the lines. */
  max: number | null;
  /** Ticks at powers of ten, for values that differ by more than ten times. */
  isLog: boolean;
}

const PANEL_WIDTH = 420;
const PANEL_HEIGHT = 120;
const MARGIN = { left: 54, right: 14, top: 26, bottom: 20 };
const LEGEND_LINE = 16;
/** One entry of the legend: at least, and for each letter of the longest. */
const LEGEND_WIDTH_MIN = 150;
const LETTER_WIDTH = 6;

/** Colours that people with any colour vision tell apart (Okabe and Ito), then a wheel. */
const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#7f7f7f'];
export function colorOf(index: number): string {
  return palette[index] ?? `hsl(${(index * 137) % 360} 55% 45%)`;
}

/** Panels in rows, under a title; `seconds` is the length of all their axes. */
export function svgOf(
  title: string,
  rows: readonly (readonly Panel[])[],
  legend: readonly Pick<Line, 'label' | 'color'>[],
  seconds: number,
): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const cell = { width: MARGIN.left + PANEL_WIDTH + MARGIN.right, height: MARGIN.top + PANEL_HEIGHT + MARGIN.bottom };
  const width = columns * cell.width;
  const longest = Math.max(0, ...legend.map(({ label }) => label.length));
  const entry = Math.max(LEGEND_WIDTH_MIN, 30 + LETTER_WIDTH * longest);
  const perLine = Math.max(1, Math.floor(width / entry));
  const head = 30 + LEGEND_LINE * Math.ceil(legend.length / perLine);
  const height = head + rows.length * cell.height;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<style>.l{fill:none;stroke-width:1.4;stroke-linejoin:round}.g{stroke:#8886;stroke-width:.6}text{fill:#222}</style>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="8" y="18" font-size="14" font-weight="bold">${escaped(title)}</text>`,
  ];
  legend.forEach(({ label, color }, i) => {
    const x = 8 + entry * (i % perLine);
    const y = 34 + LEGEND_LINE * Math.floor(i / perLine);
    out.push(
      `<path d="M${x} ${y - 4}h16" stroke="${color}" stroke-width="3"/><text x="${x + 20}" y="${y}">${escaped(label)}</text>`,
    );
  });
  rows.forEach((row, r) => {
    row.forEach((panel, c) => {
      out.push(
        `<g transform="translate(${c * cell.width + MARGIN.left} ${head + r * cell.height + MARGIN.top})">`,
        ...drawn(panel, seconds),
        '</g>',
      );
    });
  });
  out.push('</svg>', '');
  return out.join('\n');
}

function drawn(panel: Panel, seconds: number): string[] {
  const { title, lines, text, isLog } = panel;
  const largest = lines.reduce((max, line) => line.values.reduce((a, b) => Math.max(a, b), max), 0);
  const ticks = isLog ? decades(lines, largest) : steps(panel.max ?? largest);
  const low = isLog ? Math.log10(ticks[0]!) : 0;
  const high = isLog ? Math.log10(ticks.at(-1)!) : ticks.at(-1)!;
  const yOf = (value: number): number => {
    const at = isLog ? Math.log10(Math.max(value, ticks[0]!)) : value;
    return Math.round(PANEL_HEIGHT * (1 - Math.min(1, (at - low) / (high - low))));
  };
  const out = [`<text y="-8" font-weight="bold">${escaped(title)}</text>`];
  for (const tick of ticks) {
    const y = yOf(tick);
    out.push(
      `<path class="g" d="M0 ${y}h${PANEL_WIDTH}"/><text x="-5" y="${y + 4}" text-anchor="end">${escaped(text(tick))}</text>`,
    );
  }
  for (const share of [0, 0.5, 1]) {
    const label = `${Number((seconds * share).toPrecision(3))}s`;
    const anchor = share === 1 ? 'end' : 'middle';
    out.push(`<text x="${PANEL_WIDTH * share}" y="${PANEL_HEIGHT + 14}" text-anchor="${anchor}">${label}</text>`);
  }
  for (const { color, values } of lines) {
    const xOf = (i: number) => Math.round(((i + 0.5) * PANEL_WIDTH) / values.length);
    // Relative steps have the fewest digits.
    let steps = '';
    for (let i = 1; i < values.length; i++) {
      const dy = yOf(values[i]!) - yOf(values[i - 1]!);
      steps += `${i === 1 ? '' : ' '}${xOf(i) - xOf(i - 1)}${dy < 0 ? '' : ' '}${dy}`;
    }
    out.push(`<path class="l" stroke="${color}" d="M${xOf(0)} ${yOf(values[0]!)}l${steps}"/>`);
  }
  return out;
}

/** 0 and up to four round steps that reach the largest. */
function steps(largest: number): number[] {
  const rough = Math.max(largest, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  return Array.from({ length: Math.ceil(largest / step) + 1 }, (_, i) => Number((i * step).toPrecision(6))).slice(0, 6);
}

function decades(lines: readonly Line[], largest: number): number[] {
  const above = lines.flatMap((line) => [...line.values]).filter((value) => value > 0);
  const from = Math.floor(Math.log10(Math.max(1e-3, Math.min(...above, largest))));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(1e-3, largest))));
  return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
