/**
 * openssl: the OpenSSL of the node binary by its own names, as far as TLS needs it. All of it checks nothing: what goes in has to be right.
 *
 * Rules
 * 1. Objects of OpenSSL (SSL, SSL_CTX, BIO, X509) are addresses as BigInt, made once; 0n is none. Bytes are addresses below 4 GiB as Numbers.
 * 2. Who makes an object frees it. SSL_new holds the SSL_CTX, SSL_set_bio takes one hold on each BIO, certificates that are used are held.
 * 3. The queue of errors is the thread's: it is emptied (ERR_clear_error) wherever a call has failed, else the next connection's answer lies.
 * 4. Constants are those of OpenSSL 3 (ssl.h, tls1.h, bio.h); {@link checkOpenssl} proves at start what is relied on besides the API.
 */
import { checked, fast, nodeFfi } from './ffi.ts';
import { type Mapping, mapLow, munmap } from './memory.ts';
import { SystemError } from './system-error.ts';

type Pointer = bigint;

// Per operation: called with what is right, without checks.
export const SSL_new = fast<(context: Pointer) => Pointer>('SSL_new', ['pointer'], 'pointer');
export const SSL_free = fast<(ssl: Pointer) => void>('SSL_free', ['pointer'], 'void');
export const SSL_set_bio = fast<(ssl: Pointer, read: Pointer, write: Pointer) => void>(
  'SSL_set_bio',
  ['pointer', 'pointer', 'pointer'],
  'void',
);
export const SSL_set_accept_state = fast<(ssl: Pointer) => void>('SSL_set_accept_state', ['pointer'], 'void');
export const SSL_do_handshake = fast<(ssl: Pointer) => number>('SSL_do_handshake', ['pointer'], 'int32');
export const SSL_read = fast<(ssl: Pointer, at: number, size: number) => number>(
  'SSL_read',
  ['pointer', 'uint32', 'int32'],
  'int32',
);
export const SSL_write = fast<(ssl: Pointer, at: number, size: number) => number>(
  'SSL_write',
  ['pointer', 'uint32', 'int32'],
  'int32',
);
export const SSL_shutdown = fast<(ssl: Pointer) => number>('SSL_shutdown', ['pointer'], 'int32');
export const SSL_get_error = fast<(ssl: Pointer, result: number) => number>('SSL_get_error', ['pointer', 'int32'], 'int32');
export const SSL_version = fast<(ssl: Pointer) => number>('SSL_version', ['pointer'], 'int32');
export const SSL_session_reused = fast<(ssl: Pointer) => number>('SSL_session_reused', ['pointer'], 'int32');
export const SSL_get_current_cipher = fast<(ssl: Pointer) => Pointer>('SSL_get_current_cipher', ['pointer'], 'pointer');
export const ERR_clear_error = fast<() => void>('ERR_clear_error', [], 'void');
export const BIO_up_ref = fast<(bio: Pointer) => number>('BIO_up_ref', ['pointer'], 'int32');
const BIO_ctrl = fast<(bio: Pointer, command: number, value: bigint, at: Pointer) => bigint>(
  'BIO_ctrl',
  ['pointer', 'int32', 'int64', 'pointer'],
  'int64',
);
export const SSL_CTX_ctrl = fast<(context: Pointer, command: number, value: bigint, at: Pointer) => bigint>(
  'SSL_CTX_ctrl',
  ['pointer', 'int32', 'int64', 'pointer'],
  'int64',
);

// Once a plan.
export const SSL_CTX_free = checked<(context: Pointer) => void>('SSL_CTX_free', ['pointer'], 'void');
const SSL_CTX_new = checked<(method: Pointer) => Pointer>('SSL_CTX_new', ['pointer'], 'pointer');
const TLS_server_method = checked<() => Pointer>('TLS_server_method', [], 'pointer');
export const SSL_CTX_set_options = checked<(context: Pointer, options: bigint) => bigint>(
  'SSL_CTX_set_options',
  ['pointer', 'uint64'],
  'uint64',
);
export const SSL_CTX_set_cipher_list = checked<(context: Pointer, list: Pointer) => number>(
  'SSL_CTX_set_cipher_list',
  ['pointer', 'pointer'],
  'int32',
);
export const SSL_CTX_set_session_id_context = checked<(context: Pointer, at: Pointer, size: number) => number>(
  'SSL_CTX_set_session_id_context',
  ['pointer', 'pointer', 'uint32'],
  'int32',
);
export const SSL_CTX_set_alpn_select_cb = checked<(context: Pointer, callback: Pointer, argument: Pointer) => void>(
  'SSL_CTX_set_alpn_select_cb',
  ['pointer', 'pointer', 'pointer'],
  'void',
);
export const SSL_CTX_use_certificate = checked<(context: Pointer, certificate: Pointer) => number>(
  'SSL_CTX_use_certificate',
  ['pointer', 'pointer'],
  'int32',
);
export const SSL_CTX_use_PrivateKey = checked<(context: Pointer, key: Pointer) => number>(
  'SSL_CTX_use_PrivateKey',
  ['pointer', 'pointer'],
  'int32',
);
export const SSL_CTX_check_private_key = checked<(context: Pointer) => number>('SSL_CTX_check_private_key', ['pointer'], 'int32');
export const X509_free = checked<(certificate: Pointer) => void>('X509_free', ['pointer'], 'void');
export const EVP_PKEY_free = checked<(key: Pointer) => void>('EVP_PKEY_free', ['pointer'], 'void');
export const EVP_PKEY_get_base_id = checked<(key: Pointer) => number>('EVP_PKEY_get_base_id', ['pointer'], 'int32');
const BIO_new = checked<(method: Pointer) => Pointer>('BIO_new', ['pointer'], 'pointer');
const BIO_s_mem = checked<() => Pointer>('BIO_s_mem', [], 'pointer');
const BIO_new_mem_buf = checked<(at: Pointer, size: number) => Pointer>('BIO_new_mem_buf', ['pointer', 'int32'], 'pointer');
const BIO_free = checked<(bio: Pointer) => number>('BIO_free', ['pointer'], 'int32');
const BIO_set_flags = checked<(bio: Pointer, flags: number) => void>('BIO_set_flags', ['pointer', 'int32'], 'void');
const BIO_read = checked<(bio: Pointer, at: Pointer, size: number) => number>(
  'BIO_read',
  ['pointer', 'pointer', 'int32'],
  'int32',
);
const BIO_write = checked<(bio: Pointer, at: Pointer, size: number) => number>(
  'BIO_write',
  ['pointer', 'pointer', 'int32'],
  'int32',
);
const PEM_read_bio_X509 = checked<(bio: Pointer, into: Pointer, ask: Pointer, argument: Pointer) => Pointer>(
  'PEM_read_bio_X509',
  ['pointer', 'pointer', 'pointer', 'pointer'],
  'pointer',
);
const PEM_read_bio_PrivateKey = checked<(bio: Pointer, into: Pointer, ask: Pointer, argument: Pointer) => Pointer>(
  'PEM_read_bio_PrivateKey',
  ['pointer', 'pointer', 'pointer', 'pointer'],
  'pointer',
);
const SSL_CIPHER_get_name = checked<(cipher: Pointer) => Pointer>('SSL_CIPHER_get_name', ['pointer'], 'pointer');
const ERR_get_error = checked<() => bigint>('ERR_get_error', [], 'uint64');
const ERR_reason_error_string = checked<(error: bigint) => Pointer>('ERR_reason_error_string', ['uint64'], 'pointer');

export const TLS1_2 = 0x0303;
export const TLS1_3 = 0x0304;
// SSL_get_error.
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;
// SSL_CTX_ctrl.
export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59;
export const SSL_CTRL_CHAIN_CERT = 89;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_MODE_RELEASE_BUFFERS = 0x10n;
export const SSL_OP_NO_COMPRESSION: bigint = 1n << 17n;
export const SSL_OP_PRIORITIZE_CHACHA: bigint = 1n << 21n;
export const SSL_OP_CIPHER_SERVER_PREFERENCE: bigint = 1n << 22n;
export const SSL_OP_NO_RENEGOTIATION: bigint = 1n << 30n;
// What an ALPN callback returns.
const SSL_TLSEXT_ERR_OK = 0;
const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
const SSL_TLSEXT_ERR_NOACK = 3;

const BIO_C_SET_BUF_MEM = 114;
const BIO_FLAGS_MEM_RDONLY = 0x200;
/** struct buf_mem_st (buffer.h): length, data, max, flags; 64 bits each. Here in words of 32 bits. */
const BUF_MEM_WORDS = 8;
const buffer = Object.freeze({ length: 0, data: 2, dataHigh: 3, max: 4 });

/**
 * A pair of BIOs over memory that is told to them anew before each operation: no copy, and no call to fill or empty them. Any number of SSL share it, one
 * operation at a time.
 */
export class MemoryBios {
  readonly read: Pointer;
  readonly write: Pointer;
  private readonly map: Mapping;
  private readonly words: Uint32Array;
  private readonly writeBuffer: Pointer;

  constructor() {
    this.map = mapLow(4096);
    this.words = new Uint32Array(this.map.buffer);
    this.writeBuffer = this.map.pointer + BigInt(BUF_MEM_WORDS * 4);
    this.read = BIO_new(BIO_s_mem());
    this.write = BIO_new(BIO_s_mem());
    BIO_ctrl(this.read, BIO_C_SET_BUF_MEM, 0n, this.map.pointer);
    // A BIO for reading only looks at the structure itself, each time.
    BIO_set_flags(this.read, BIO_FLAGS_MEM_RDONLY);
  }

  /** What is read next: `size` bytes at `address`. When they are gone, reading has to be tried again later. */
  feed(address: number, size: number): void {
    const { words } = this;
    words[buffer.length] = size;
    words[buffer.data] = address;
    words[buffer.dataHigh] = 0;
    words[buffer.max] = size;
  }
  /** Bytes fed and not yet read. */
  get unread(): number {
    return this.words[buffer.length]!;
  }

  /** Where what is written next goes. More than `size` bytes corrupt memory: OpenSSL would take it for its own and move it. */
  collect(address: number, size: number): void {
    const { words } = this;
    words[BUF_MEM_WORDS + buffer.length] = 0;
    words[BUF_MEM_WORDS + buffer.data] = address;
    words[BUF_MEM_WORDS + buffer.dataHigh] = 0;
    words[BUF_MEM_WORDS + buffer.max] = size;
    // A BIO for writing has a copy of the structure, which this renews.
    BIO_ctrl(this.write, BIO_C_SET_BUF_MEM, 0n, this.writeBuffer);
  }
  /** Bytes written since collect(). */
  get written(): number {
    return this.words[BUF_MEM_WORDS + buffer.length]!;
  }
}

let isProven = false;

/** Proves that memory BIOs are as {@link MemoryBios} takes them to be. Throws SystemError (ENOSYS) when they are not. */
export function checkOpenssl(): void {
  if (isProven) return;
  const map = mapLow(4096);
  const bios = new MemoryBios();
  const { bytes, address } = map;
  bytes.set([1, 2, 3, 4, 5, 6, 7]);
  bios.feed(address, 7);
  const first = BIO_read(bios.read, map.pointer + 100n, 3);
  const unread = bios.unread;
  const second = BIO_read(bios.read, map.pointer + 103n, 100);
  const empty = BIO_read(bios.read, map.pointer, 1);
  const isRead = first === 3 && unread === 4 && second === 4 && empty === -1 && bytes[100] === 1 && bytes[106] === 7;
  let isWritten = true;
  for (const at of [200, 300]) {
    bios.collect(address + at, 100);
    isWritten &&= BIO_write(bios.write, map.pointer, 4) === 4 && BIO_write(bios.write, map.pointer + 4n, 3) === 3;
    isWritten &&= bios.written === 7 && bytes[at] === 1 && bytes[at + 6] === 7 && bytes[at + 7] === 0;
  }
  if (!isRead || !isWritten)
    throw new SystemError('BIO_s_mem', 38, 'the OpenSSL of this Node.js keeps memory in another way than OpenSSL 3.5 does');
  isProven = true;
}

/** A context for servers. Throws SystemError when there is no memory. */
export function serverContext(): Pointer {
  const context = SSL_CTX_new(TLS_server_method());
  if (context === 0n) throw opensslError('SSL_CTX_new');
  return context;
}

/** Certificates of a PEM text, in order; who asks frees them. Throws SystemError when there is none. */
export function readCertificates(pem: string): Pointer[] {
  return withText(pem, (bio) => {
    const found: Pointer[] = [];
    for (;;) {
      const certificate = PEM_read_bio_X509(bio, 0n, 0n, 0n);
      if (certificate === 0n) break;
      found.push(certificate);
    }
    // The end of the text is told as an error as well.
    if (found.length === 0) throw opensslError('PEM_read_bio_X509');
    ERR_clear_error();
    return found;
  });
}

/** The private key of a PEM text; who asks frees it. One that is encrypted is refused: nobody is asked for a password. Throws SystemError. */
export function readPrivateKey(pem: string): Pointer {
  return withText(pem, (bio, end) => {
    // The default callback takes its argument for the password: an empty one.
    const key = PEM_read_bio_PrivateKey(bio, 0n, 0n, end);
    if (key === 0n) throw opensslError('PEM_read_bio_PrivateKey');
    return key;
  });
}

/** Calls with a BIO over the text, and the address of the NUL behind it. What it lay in is wiped. */
function withText<T>(text: string, use: (bio: Pointer, end: Pointer) => T): T {
  const bytes = new TextEncoder().encode(text);
  const map = mapLow(bytes.length + 1);
  map.bytes.set(bytes);
  const bio = BIO_new_mem_buf(map.pointer, bytes.length);
  try {
    return use(bio, map.pointer + BigInt(bytes.length));
  } finally {
    BIO_free(bio);
    map.bytes.fill(0);
    munmap(map);
    bytes.fill(0);
  }
}

const cipherNames = new Map<Pointer, string>();

/** Name of a cipher; read once. */
export function cipherName(cipher: Pointer): string {
  let name = cipherNames.get(cipher);
  if (name === undefined) {
    name = cipher === 0n ? '' : (nodeFfi.toString(SSL_CIPHER_get_name(cipher)) ?? '');
    cipherNames.set(cipher, name);
  }
  return name;
}

/** The oldest error of this thread in words, "no shared cipher"; '' when there is none. Empties the queue. */
export function takeErrorText(): string {
  const error = ERR_get_error();
  if (error === 0n) return '';
  const text = ERR_reason_error_string(error);
  ERR_clear_error();
  return text === 0n ? `error ${error.toString(16)}` : (nodeFfi.toString(text) ?? '');
}

export function opensslError(call: string): SystemError {
  return new SystemError(call, 22, takeErrorText() || 'OpenSSL says no more');
}

/**
 * A callback that answers ALPN (RFC 7301) with what `choose` says: the address of a name and its length in the low and high half of one Number below 2^53
 * (length * 2^32 + address), 0 for "none is agreed on", -1 for the alert that none can be. Lives as long as the process.
 */
export function alpnCallback(choose: () => number): Pointer {
  const library = new nodeFfi.DynamicLibrary(null);
  callbacks.push(library);
  const answer = (_ssl: Pointer, out: Pointer, outLength: Pointer): number => {
    const chosen = choose();
    if (chosen === 0) return SSL_TLSEXT_ERR_NOACK;
    if (chosen < 0) return SSL_TLSEXT_ERR_ALERT_FATAL;
    nodeFfi.setUint64(out, 0, BigInt(chosen % 2 ** 32));
    nodeFfi.setUint8(outLength, 0, Math.floor(chosen / 2 ** 32));
    return SSL_TLSEXT_ERR_OK;
  };
  return library.registerCallback(
    { arguments: ['pointer', 'pointer', 'pointer', 'pointer', 'uint32', 'pointer'], return: 'int32' },
    answer as Parameters<typeof library.registerCallback>[1],
  );
}
const callbacks: unknown[] = [];
