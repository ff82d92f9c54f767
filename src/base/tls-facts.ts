/** What TLS told of a connection that was opened here: for logs, forwarded fields and `explain`. Fixed once the handshake is over. */
export interface TlsFacts {
  /** "1.2" or "1.3". */
  readonly version: string;
  /** As OpenSSL writes it: "TLS_AES_256_GCM_SHA384". */
  readonly cipher: string;
  /** Name the client asked for, lower-case; '' = none. */
  readonly serverName: string;
  /** The protocol agreed on (RFC 7301); '' = none was. */
  readonly alpn: string;
  /** No certificate was needed: the client came with a ticket. */
  readonly isResumed: boolean;
}
