/**
 * proxy-line: the PROXY protocol, both ways. Pure; it does not know sockets, or whom to believe.
 */
export { BAD, MORE, NOT_THERE, ProxyLineReader, V1_BYTES_MAX, V2_BYTES_MAX } from './read.ts';
export { type ProxyLineFacts, WRITE_BYTES_MAX, writeProxyLine } from './write.ts';
