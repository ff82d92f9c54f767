/**
 * Keeps docs/choosing.md true: runs the scenarios of this folder, writes their plots to docs/plots and their numbers under the commands in the text.
 *
 *   node examples/simulate/choosing.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Shell } from '../../src/cli/shell.ts';
import { simulate } from '../../src/cli/simulate.ts';

const root = join(import.meta.dirname, '../..');
const page = join(root, 'docs/choosing.md');
/** A console block that begins with the command. */
const BLOCK = /```console\n\$ weir simulate (\S+) --svg (\S+)\n([\s\S]*?)```/g;

/** What the page shows of a command's output: the title and the table of policies. */
export function shownPart(said: string): string {
  return `${said.split('\n\n').slice(0, 2).join('\n\n')}\n`;
}

/** Scenarios of the page with what it says of them. */
export function shownScenarios(): { scenario: string; svg: string; text: string }[] {
  return [...readFileSync(page, 'utf8').matchAll(BLOCK)].map(([, scenario, svg, text]) => ({ scenario, svg, text }));
}

if (import.meta.main) {
  let text = readFileSync(page, 'utf8');
  for (const { scenario, svg, text: before } of shownScenarios()) {
    let said = '';
    const shell: Shell = {
      out: (more) => void (said += more),
      err: (more) => void (said += more),
      outIsTerminal: false,
      errIsTerminal: false,
      inIsTerminal: false,
      color: false,
      folder: root,
      environment: {},
      version: '',
    };
    await simulate({ scenario, svg }, shell);
    const command = `$ weir simulate ${scenario} --svg ${svg}\n`;
    text = text.replace(command + before, () => command + shownPart(said));
  }
  writeFileSync(page, text);
}
