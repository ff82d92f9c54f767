/** What a control process is told, and how it ends. */
import type { WorkerStart } from '../state/channel.ts';
import type { ConfigResult } from './config/config.ts';

export interface ControlOptions {
  version: string;
  /** Tells this instance from others: absolute paths of the configuration. */
  key: string;
  runtimeFolder: string;
  load: () => Promise<ConfigResult>;
  /** Faults of a configuration as text. */
  format: (faults: ConfigResult['faults']) => string;
  /** Wins over the configuration. */
  engine?: WorkerStart['engine'];
  watch: boolean;
  portFallback: boolean;
  /** Wins over drain.notReadyFor. */
  notReadyForMs?: number;
  /** Says something to people, on stderr. */
  say: (text: string) => void;
  isTerminal: boolean;
  color: boolean;
  environment: Readonly<Record<string, string | undefined>>;
}

export type Outcome =
  | { kind: 'configInvalid'; text: string }
  | { kind: 'cannotStart'; text: string }
  /** Drained and gone; `cut` connections were cut. */
  | { kind: 'ended'; cut: number };
