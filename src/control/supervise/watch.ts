/**
 * watch: calls back when one of some files changes, whether it is written in place, replaced by a rename (editors), or swapped by a
 * symbolic link (Kubernetes' config maps). Folders are watched, since a watch on a file follows the old file.
 */
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Several writes of one save count as one change. */
const SETTLE_MS = 100;

export class FileWatch {
  private readonly onChange: () => void;
  private watchers: FSWatcher[] = [];
  private files: string[] = [];
  private contents = '';
  private timer: NodeJS.Timeout | null = null;

  constructor(onChange: () => void) {
    this.onChange = onChange;
  }

  /** Watches these and no others. */
  set(files: readonly string[]): void {
    this.contents = read(files);
    if (files.join('\0') === this.files.join('\0')) return;
    this.close();
    this.files = [...files];
    for (const folder of new Set(files.map((file) => dirname(file)))) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.soon());
        watcher.on('error', () => watcher.close());
        this.watchers.push(watcher);
      } catch {
        // A folder that is gone cannot change; a later reload names what is there then.
      }
    }
  }

  close(): void {
    for (const watcher of this.watchers) watcher.close();
    this.watchers = [];
    this.files = [];
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private soon(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      // Other files live in the folder, too; and a touch is no change.
      const contents = read(this.files);
      if (contents === this.contents) return;
      this.contents = contents;
      this.onChange();
    }, SETTLE_MS);
  }
}

function read(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        return readFileSync(file, 'utf8');
      } catch {
        return '';
      }
    })
    .join('\0');
}
