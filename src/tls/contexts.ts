/** Contexts: those of one worker, each once, kept while a listener uses it. */
import { type Certificate, type ContextSettings, ServerContext } from './server-context.ts';
import type { TlsLoop } from './tls-loop.ts';

export class Contexts {
  private readonly all = new Map<string, ServerContext>();

  /** The context for these; made when there is none. The caller uses it until leave(). Throws SystemError. */
  of(certificates: readonly Certificate[], settings: ContextSettings, loop: TlsLoop): ServerContext {
    const key = JSON.stringify([settings.minVersion, settings.alpn, certificates.map(({ chain, key }) => [chain, key])]);
    let context = this.all.get(key);
    if (context === undefined) {
      context = new ServerContext(loop, certificates, settings, key);
      this.all.set(key, context);
    }
    context.users++;
    return context;
  }

  leave(context: ServerContext): void {
    if (--context.users > 0) return;
    this.all.delete(context.key);
    context.free();
  }

  each(): Iterable<ServerContext> {
    return this.all.values();
  }
}
