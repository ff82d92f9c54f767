/**
 * tls: ciphertext <-> plaintext around a wire, by the OpenSSL of the node binary.
 *
 * It knows OpenSSL. It does not know: sockets, HTTP, plans, which route or listener a connection belongs to.
 */
export type { Certificate } from './server-context.ts';
export { type Hello, type ServerSettings, ServerTls } from './server-tls.ts';
export { TlsLoop } from './tls-loop.ts';
export { type HandshakeOwner, TlsWire } from './tls-wire.ts';
