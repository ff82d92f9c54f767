/**
 * Secret: what sticky cookies of this machine are made with where the configuration gives no secret. It stands in the runtime folder, so it outlives reloads,
 * restarts and upgrades, and is lost when the machine starts anew.
 *
 * Rules
 * 1. It is made once: of several processes that begin at the same moment one makes it, and all have the same.
 * 2. Nobody but the owner can read it. It is not shown, logged or sent anywhere but, in derived form, to the workers.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownFolder } from './instance.ts';

export const SECRET_BYTES = 32;

/** The secret of this runtime folder; makes both when they are not there. Throws the system's error, or one that says what is wrong with the file. */
export function instanceSecret(folder: string): Uint8Array {
  ownFolder(folder);
  const path = join(folder, 'secret');
  const made = `${path}.${process.pid}`;
  let secret = readIfThere(path);
  if (secret === null) {
    writeFileSync(made, randomBytes(SECRET_BYTES), { mode: 0o600, flag: 'w' });
    try {
      // link(2) is the one way to bring a whole file into being under a name that must not be there yet.
      linkSync(made, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(made, { force: true });
    }
    secret = readFileSync(path);
  }
  if (secret.length !== SECRET_BYTES) throw new Error(`${path} must have ${SECRET_BYTES} bytes: remove it, and it is made anew`);
  return secret;
}

function readIfThere(path: string): Uint8Array | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
