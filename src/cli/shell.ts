/**
 * Shell: what a command sees of the world around it. main.ts makes it; no command reads argv, the environment or the terminal by itself.
 *
 * Each command is one file that exports one function `(options, shell) => Promise<exit code>`.
 */

/** Exit codes, the same for every command. 2, 3 and 4 tell systemd not to restart. */
export const exit = Object.freeze({
  done: 0,
  failed: 1,
  usage: 2,
  configInvalid: 3,
  cannotStart: 4,
  noAnswer: 5,
  noSuchObject: 6,
  conflict: 7,
  no: 8,
  connectionsCut: 9,
});

export interface Shell {
  /** Data. */
  out(text: string): void;
  /** Talk. */
  err(text: string): void;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly inIsTerminal: boolean;
  /** May talk be coloured: stderr is a terminal and NO_COLOR is not set. */
  readonly color: boolean;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
}

/** Wrong usage that only the command itself can see; main.ts prints it and exits 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
