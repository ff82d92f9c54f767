/**
 * node-loop: the descriptor libuv itself waits on. It is readable when Node's own loop has something to do (a signal, a socket of
 * node:net, a child), so a loop that blocks elsewhere can watch it and step aside at once.
 */
import { checked, nodeFfi } from './ffi.ts';

/** The epoll descriptor of this thread's libuv loop (uv_backend_fd), or -1. It stays Node's: do not close it. */
export function nodeLoopFd(): number {
  try {
    return checked<(loop: bigint) => number>('uv_backend_fd', ['pointer'], 'int32')(nodeFfi.getCurrentEventLoop());
  } catch {
    // A Node built without exported libuv symbols: its loop gets its turn by the clock alone.
    return -1;
  }
}
