/** Keys of TLS session tickets, as OpenSSL divides them and RFC 5077 §4 proposes: a name of 16 bytes, 32 to sign with and 32 to seal with. */
export const TICKET_KEY_BYTES = 80;
/** What a ticket begins with: the name of the key that sealed it. */
export const TICKET_NAME_BYTES = 16;
