/**
 * server-tls: the TLS of one listener: which context serves a client, by what its hello asks for.
 *
 * Contexts are shared by all listeners of a worker that serve the same certificates with the same demands, and outlive plans that keep both.
 */
import { CertificateNames } from '../base/certificate-names.ts';
import type { Wire } from '../base/wire.ts';
import { SSL_new, SSL_set_accept_state } from '../sys/openssl.ts';
import type { Certificate, ContextSettings, ServerContext } from './server-context.ts';
import { NO_PROTOCOL, REFUSED_PROTOCOL, type TlsLoop } from './tls-loop.ts';
import { type HandshakeOwner, TlsWire } from './tls-wire.ts';

export interface ServerSettings extends ContextSettings {
  readonly certificates: readonly Certificate[];
  readonly strictSni: boolean;
}

/** What a client hello asks for. */
export interface Hello {
  /** Lower-case; '' = no name. */
  readonly serverName: string;
  readonly alpn: readonly string[];
  /** First bytes of its session ticket (TICKET_NAME_BYTES); of no meaning without one. */
  readonly ticketName: Uint8Array;
  readonly hasTicket: boolean;
}

export class ServerTls {
  private readonly loop: TlsLoop;
  private readonly settings: ServerSettings;
  private readonly names: CertificateNames;
  /** By the indexes of the certificates, in order. */
  private readonly contexts = new Map<string, ServerContext>();
  private readonly first: ServerContext;
  /** Plans and listeners that use it. */
  private users = 1;

  /** Throws SystemError when OpenSSL takes one of the certificates not. */
  constructor(loop: TlsLoop, settings: ServerSettings) {
    this.loop = loop;
    this.settings = settings;
    this.names = new CertificateNames(settings.certificates);
    try {
      // Every choice that a name can lead to is made now: nothing is read or refused while clients wait.
      for (const { names } of settings.certificates) for (const name of names) this.prepare(this.names.find(name));
      this.first = this.prepare(this.names.fallback);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Begins a handshake on a wire whose hello was read; the hello and all else that came is given to the wire's onBytes next. Null: no certificate is for this name, and
   * none shall be served instead.
   */
  accept(inner: Wire, owner: HandshakeOwner, hello: Hello): TlsWire | null {
    const { serverName } = hello;
    const found = serverName === '' ? [] : this.names.find(serverName);
    if (found.length === 0 && this.settings.strictSni) return null;
    const context = found.length === 0 ? this.first : (this.contexts.get(found.join()) ?? this.first);
    const { tickets } = this.loop;
    const ticketKey = hello.hasTicket ? tickets.find(hello.ticketName) : 0;
    const alpn = this.agree(hello.alpn);
    const protocol = alpn === null ? REFUSED_PROTOCOL : alpn === '' ? NO_PROTOCOL : this.loop.protocolOf(alpn);
    const ssl = SSL_new(context.pointer);
    if (ssl !== 0n) SSL_set_accept_state(ssl);
    return new TlsWire(this.loop, inner, owner, ssl, { context, protocol, alpn: alpn ?? '', serverName, ticketKey });
  }

  /** One more uses it, until close(). */
  hold(): void {
    this.users++;
  }

  /** Who made or held it uses it no more. Connections keep their context until they end. */
  close(): void {
    if (--this.users > 0) return;
    for (const context of this.contexts.values()) this.loop.contexts.leave(context);
    this.contexts.clear();
  }

  /** '': none is agreed on. null: the client offers some, and none of ours. */
  private agree(offered: readonly string[]): string | null {
    const { alpn } = this.settings;
    if (alpn.length === 0 || offered.length === 0) return '';
    for (const name of alpn) if (offered.includes(name)) return name;
    return null;
  }

  private prepare(indexes: readonly number[]): ServerContext {
    const { settings, loop } = this;
    const key = indexes.join();
    let context = this.contexts.get(key);
    if (context === undefined) {
      const certificates = indexes.map((index) => settings.certificates[index]!);
      context = loop.contexts.of(certificates, settings, loop);
      this.contexts.set(key, context);
    }
    return context;
  }
}
