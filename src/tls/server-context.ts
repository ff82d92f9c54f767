/** ServerContext: one SSL_CTX: certificates of different kinds of key for the same names, and what is demanded of clients. */
import { createHash } from 'node:crypto';
import { addressOf } from '../sys/ffi.ts';
import {
  EVP_PKEY_free,
  EVP_PKEY_get_base_id,
  opensslError,
  readCertificates,
  readPrivateKey,
  SSL_CTRL_CHAIN_CERT,
  SSL_CTRL_MODE,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_CTX_check_private_key,
  SSL_CTX_ctrl,
  SSL_CTX_free,
  SSL_CTX_set_alpn_select_cb,
  SSL_CTX_set_cipher_list,
  SSL_CTX_set_options,
  SSL_CTX_set_session_id_context,
  SSL_CTX_use_certificate,
  SSL_CTX_use_PrivateKey,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_OP_CIPHER_SERVER_PREFERENCE,
  SSL_OP_NO_COMPRESSION,
  SSL_OP_NO_RENEGOTIATION,
  SSL_OP_PRIORITIZE_CHACHA,
  serverContext,
  TLS1_2,
  TLS1_3,
  X509_free,
} from '../sys/openssl.ts';
import type { TlsLoop } from './tls-loop.ts';

/** PEM texts. */
export interface Certificate {
  readonly names: readonly string[];
  readonly chain: string;
  readonly key: string;
}

export interface ContextSettings {
  readonly minVersion: '1.2' | '1.3';
  readonly alpn: readonly string[];
}

/** TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else. */
const CIPHERS_12 = 'ECDHE+AESGCM:ECDHE+CHACHA20';

export class ServerContext {
  readonly pointer: bigint;
  /** Those who use it; freed with the last one. */
  users = 0;
  /** What it was made from; a secret. */
  readonly key: string;
  private readonly loop: TlsLoop;

  /** The first certificate of each kind of key is served. Throws SystemError when OpenSSL takes one of them not. */
  constructor(loop: TlsLoop, certificates: readonly Certificate[], settings: ContextSettings, key: string) {
    this.key = key;
    this.loop = loop;
    this.pointer = serverContext();
    try {
      this.prepare(settings);
      const kinds = new Set<number>();
      for (const certificate of certificates) this.add(certificate, kinds);
      this.bindSessions(certificates, settings);
      loop.tickets.apply(this.pointer, 0);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  free(): void {
    SSL_CTX_free(this.pointer);
  }

  private prepare({ minVersion, alpn }: ContextSettings): void {
    const { pointer } = this;
    SSL_CTX_set_options(
      pointer,
      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA,
    );
    SSL_CTX_ctrl(pointer, SSL_CTRL_SET_MIN_PROTO_VERSION, BigInt(minVersion === '1.3' ? TLS1_3 : TLS1_2), 0n);
    // An idle connection keeps no buffers.
    SSL_CTX_ctrl(pointer, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, 0n);
    // Sessions are resumed by tickets, which every worker opens; nothing is remembered here.
    SSL_CTX_ctrl(pointer, SSL_CTRL_SET_SESS_CACHE_MODE, 0n, 0n);
    const list = Buffer.from(CIPHERS_12 + '\0');
    if (SSL_CTX_set_cipher_list(pointer, addressOf(list)) !== 1) throw opensslError('SSL_CTX_set_cipher_list');
    if (alpn.length > 0) SSL_CTX_set_alpn_select_cb(pointer, this.loop.alpnAnswer, 0n);
  }

  private add(certificate: Certificate, kinds: Set<number>): void {
    const { pointer } = this;
    const key = readPrivateKey(certificate.key);
    try {
      const kind = EVP_PKEY_get_base_id(key);
      if (kinds.has(kind)) return;
      kinds.add(kind);
      const chain = readCertificates(certificate.chain);
      try {
        if (SSL_CTX_use_certificate(pointer, chain[0]!) !== 1) throw opensslError('SSL_CTX_use_certificate');
        // 1: the context takes a hold of its own.
        for (const next of chain.slice(1))
          if (SSL_CTX_ctrl(pointer, SSL_CTRL_CHAIN_CERT, 1n, next) !== 1n) throw opensslError('SSL_CTX_add1_chain_cert');
      } finally {
        for (const each of chain) X509_free(each);
      }
      if (SSL_CTX_use_PrivateKey(pointer, key) !== 1) throw opensslError('SSL_CTX_use_PrivateKey');
      if (SSL_CTX_check_private_key(pointer) !== 1) throw opensslError('SSL_CTX_check_private_key');
    } finally {
      EVP_PKEY_free(key);
    }
  }

  /** A ticket is good only where the same certificates and demands are: all workers and nodes with one configuration, and no other listener (CVE-2025-23419). */
  private bindSessions(certificates: readonly Certificate[], { minVersion, alpn }: ContextSettings): void {
    const hash = createHash('sha256').update(JSON.stringify([minVersion, alpn, certificates.map(({ chain }) => chain)]));
    const id = hash.digest();
    if (SSL_CTX_set_session_id_context(this.pointer, addressOf(id), id.length) !== 1)
      throw opensslError('SSL_CTX_set_session_id_context');
  }
}
