/** The first bytes of a connection: are they HTTP, and what hears who speaks that where TLS is spoken. */

/** Who speaks HTTP to a port for TLS only is told so, as nginx and Apache do. */
const SPEAK_TLS = 'This port speaks TLS: ask with https://\n';
export const plainAnswer = new TextEncoder().encode(
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${SPEAK_TLS.length}\r\nConnection: close\r\n\r\n${SPEAK_TLS}`,
);

/** 1: a method and a space; 0: too short to tell; -1: something else. Methods are tokens in capitals (RFC 9110 §9.1), at most 20 characters here. */
export function looksLikeHttp(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    // Empty lines in front of the request line are allowed (RFC 9112 §2.2).
    if ((c === 13 || c === 10) && i - start < 4) continue;
    if (c === 32) return i > start ? 1 : -1;
    if (c < 65 || c > 90 || i - start > 20) return -1;
  }
  return 0;
}
