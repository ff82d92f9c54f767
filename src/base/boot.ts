/**
 * Boot: what every process of weir does before it loads anything else. Imported for its effect, first.
 *
 * 1. node:ffi warns once that it is experimental. weir knows: the version is pinned and the layouts are probed. That one warning is kept
 *    back; all others are shown.
 * 2. Compiled code is kept in the user's cache folder, which saves most of the time from start to ready. Without such a folder nothing
 *    is kept.
 */
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';

/** The cache is written this long after the start, since a process that is killed writes nothing at its end. */
const CACHE_FLUSH_MS = 3000;

const emitWarning = process.emitWarning;
process.emitWarning = ((warning: string | Error, ...rest: unknown[]): void => {
  if (rest[0] === 'ExperimentalWarning' && String(warning).startsWith('FFI is an experimental feature')) return;
  Reflect.apply(emitWarning, process, [warning, ...rest]);
}) as typeof process.emitWarning;

/** $NODE_COMPILE_CACHE (Node reads it by itself), else $XDG_CACHE_HOME/weir, else ~/.cache/weir. */
function cacheFolder(): string | null {
  const { XDG_CACHE_HOME: cache, HOME: home, NODE_COMPILE_CACHE: set } = process.env;
  if (set) return set;
  if (cache?.startsWith('/')) return join(cache, 'weir');
  return home?.startsWith('/') && home !== '/' ? join(home, '.cache', 'weir') : null;
}

const folder = cacheFolder();
if (folder !== null) {
  enableCompileCache(folder);
  setTimeout(flushCompileCache, CACHE_FLUSH_MS).unref();
}
