/** Plan: TLS that listeners open, and the certificates they open it with. */

export interface TlsListenerPlan {
  /** Indexes in `plan.certificates`. Of those that fit the client's name it gets the first of each kind of key; the first of all goes to clients without a name. */
  certificates: number[];
  minVersion: '1.2' | '1.3';
  /** Protocols agreed on by ALPN (RFC 7301), best first; empty: none are. */
  alpn: string[];
  /** A name that no certificate has gets an alert (unrecognized_name) instead of the first certificate. */
  strictSni: boolean;
  /** From the first byte to the end of the handshake. 10 s. */
  handshakeMs: number;
  /** Handshakes under way, per worker; 0 = no limit. 1024. */
  handshakesMax: number;
}

/** A certificate with its key, read and checked: the key belongs to it, the chain is in order and at most CHAIN_BYTES_MAX long. */
export interface CertificatePlan {
  name: string;
  /** Where it was written. */
  source: string;
  /** Absolute path of the file it was read from; null: it stands in the config. */
  file: string | null;
  /** DNS names and addresses it is for, lower-case; "*.shop.example" stands for one label (RFC 6125 §6.4.3). */
  names: string[];
  /** PEM: the certificate, then those that lead from it to a root. */
  chain: string;
  /** PEM, not encrypted. A secret: it goes to the workers and is shown nowhere. */
  key: string;
  /** Ms since 1970. */
  notBeforeMs: number;
  notAfterMs: number;
}

/** Bytes of a chain in DER that still fit one block of a worker beside the rest of the handshake. */
export const CHAIN_BYTES_MAX = 48 * 1024;
