/** A shell for the tests of commands: what they say is kept, nothing is a terminal, the environment is empty. */
import type { Shell } from '../../src/cli/shell.ts';

export function shellIn(folder: string) {
  const said = { out: '', err: '' };
  const shell: Shell = {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    outIsTerminal: false,
    errIsTerminal: false,
    inIsTerminal: false,
    color: false,
    folder,
    environment: {},
    version: '0.0.0',
  };
  return { shell, said };
}
