/**
 * ffi: the one place that opens native code. Everything else in sys/ (and tls/, edge/ through sys/) gets its functions here.
 *
 * A function of node:ffi sits behind a JavaScript wrapper that checks its arguments, and the wrapper is nearly the whole cost of a
 * call: 26 ns against 4 for abs(), 700 against 200 for getppid(). `fast()` returns the function under the wrapper.
 *
 * Rules
 * 1. What fast() returns checks nothing: int32 and uint32 take a Number of that range, pointer takes a BigInt.
 *    At most six arguments; with more node:ffi has no fast path and fast() returns the wrapper.
 * 2. Addresses on the hot path are Numbers declared `uint32`, in memory mapped below 4 GiB (memory.ts). A Uint8Array given as a
 *    pointer leaks V8 handles until the event loop turns.
 * 3. Read `errno[0]` at once after the call: the next call into V8 or libuv may overwrite it.
 */

import type * as Ffi from 'node:ffi';
import type { DynamicLibrary, FunctionSignature } from 'node:ffi';

/** A native type as node:ffi spells it. */
export type NativeType = 'void' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'pointer' | 'function';

// Loading node:ffi says once that it is experimental. That is known here; every other warning must still be seen, so emitWarning is
// replaced for the one call that loads the module and for nothing else.
function loadQuietly(): typeof Ffi {
  const emit = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule('node:ffi') as typeof Ffi;
  } finally {
    process.emitWarning = emit;
  }
}

const ffi = loadQuietly();

/** The module itself, for the rare need not covered below (callbacks, strings). Loaded without its warning. */
export const nodeFfi = ffi;

// A library that is collected closes its functions, so each is kept for the life of the process.
const kept: DynamicLibrary[] = [];

/**
 * The function `name` behind its checks. `path` null is the process itself: libc, and OpenSSL, nghttp2 and llhttp of the node binary.
 * Each call opens the library anew, because one handle allows one signature a symbol.
 */
export function checked<F>(name: string, takes: readonly NativeType[], gives: NativeType, path: string | null = null): F {
  const library = new ffi.DynamicLibrary(path);
  kept.push(library);
  return library.getFunction(name, { arguments: [...takes], return: gives } as FunctionSignature) as unknown as F;
}

/** Like {@link checked}, without the checks where they can be removed (rule 1). */
export function fast<F>(name: string, takes: readonly NativeType[], gives: NativeType, path: string | null = null): F {
  let unwrapped: unknown;
  const parent = Object.getPrototypeOf(Function.prototype) as object;
  // While node:ffi builds the wrapper it reads a symbol of the bare function that a fast one does not own, so the look-up climbs to
  // the prototype, with the bare function as its receiver.
  const watching = new Proxy(parent, {
    get(target, key, receiver) {
      if (typeof key === 'symbol' && typeof receiver === 'function' && key.description?.startsWith('ffi_'))
        unwrapped ??= receiver;
      return Reflect.get(target, key, receiver);
    },
  });
  const library = new ffi.DynamicLibrary(path);
  kept.push(library);
  let wrapper: unknown;
  Object.setPrototypeOf(Function.prototype, watching);
  try {
    wrapper = library.getFunction(name, { arguments: [...takes], return: gives } as FunctionSignature);
  } finally {
    Object.setPrototypeOf(Function.prototype, parent);
  }
  return (isBareFunction(unwrapped, name) ? unwrapped : wrapper) as F;
}

// A bare function that keeps its arguments in a shared buffer ignores what it is called with; it owns the symbols of that buffer.
function isBareFunction(candidate: unknown, name: string): boolean {
  if (typeof candidate !== 'function' || candidate.name !== name) return false;
  for (const symbol of Object.getOwnPropertySymbols(candidate)) {
    if (symbol.description?.startsWith('ffi_sb')) return false;
  }
  return true;
}

/** Address of an exported symbol. */
export function symbolAddress(name: string, path: string | null = null): bigint {
  const library = new ffi.DynamicLibrary(path);
  kept.push(library);
  return library.getSymbol(name);
}

/** Maps native memory without a copy. The memory must outlive every use of the result. */
export function view(address: bigint, length: number): ArrayBuffer {
  return ffi.toArrayBuffer(address, length, false);
}

/** Address of the bytes of a typed array. Valid while the array lives and is not moved: only for memory V8 allocated off its heap. */
export function addressOf(bytes: ArrayBuffer | NodeJS.ArrayBufferView): bigint {
  return ffi.getRawPointer(bytes);
}

const errnoLocation = checked<() => bigint>('__errno_location', [], 'pointer');

/** errno of this thread, mapped: reading it is a load. musl and glibc both export __errno_location. */
export const errno = new Int32Array(view(errnoLocation(), 4));

/** True when the functions of fast() really are unwrapped; false costs speed, nothing else. */
export const isFast: boolean = probe();

function probe(): boolean {
  const absolute = fast<(value: number) => number>('abs', ['int32'], 'int32');
  if (absolute(-7) !== 7) throw new Error('node:ffi: abs(-7) is not 7');
  // A wrapper is a JavaScript function and shows its source; a bare function is native.
  return /\[native code\]/.test(Function.prototype.toString.call(absolute));
}
