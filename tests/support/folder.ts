/** A folder for what a test file writes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** Made now; it goes with all that is in it when the tests of the file, or of the describe() that asks, are over. */
export function ownFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `weir-${name}-`));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
