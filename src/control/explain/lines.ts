/** Lines of explanations and stories: a heading, then sections with their name to the left. */

/** Lines under way, and how a section is added to them; one without texts is left out. */
export function sectionsOf(heading: string): { lines: string[]; section: (name: string, texts: readonly string[]) => void } {
  const lines = [heading];
  return {
    lines,
    section: (name, texts) => {
      lines.push(...texts.map((text, i) => ` ${(i === 0 ? name : '').padEnd(10)}${text}`.trimEnd()));
    },
  };
}

/** What is in a request may not steer a terminal. */
export function printableLines(lines: readonly string[]): string {
  return lines.map((line) => line.replace(/\p{Cc}/gu, ' ')).join('\n') + '\n';
}
