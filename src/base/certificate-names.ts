/**
 * Certificate names: which certificates of a listener are for the name that a client asks for (SNI, RFC 6066 §3). Used by the handshake and by `weir explain`, so that both say the same.
 *
 * Rules
 * 1. Names have no case, and a dot at their end means nothing.
 * 2. A certificate that has the very name comes before one that has it by a wildcard; among like ones the first comes first.
 * 3. "*" stands for exactly one label, and only as the whole of the first one (RFC 6125 §6.4.3).
 * 4. Of those that are found a client is shown the first of each kind of key; which kinds there are is not known here.
 */

const none: readonly number[] = Object.freeze([]);

export class CertificateNames {
  /** For the very name: those that have it, then those that have it by a wildcard. */
  private readonly exact = new Map<string, readonly number[]>();
  /** By what follows "*.". */
  private readonly wildcard = new Map<string, readonly number[]>();

  /** Those for who asks for no name, or for one that no certificate is for: the first of all, and others for its first name that may have another kind of key. */
  readonly fallback: readonly number[];

  /** `names` of one certificate: those it is for, lower-case. */
  constructor(certificates: readonly { readonly names: readonly string[] }[]) {
    const exact = new Map<string, Set<number>>();
    const wildcard = new Map<string, Set<number>>();
    certificates.forEach(({ names }, index) => {
      for (const name of names) {
        if (name.startsWith('*.')) add(wildcard, name.slice(2), index);
        else add(exact, name, index);
      }
    });
    for (const [name, indexes] of wildcard) this.wildcard.set(name, [...indexes]);
    for (const [name, indexes] of exact) this.exact.set(name, [...new Set([...indexes, ...this.byWildcard(name)])]);
    const alike = this.find(certificates[0]?.names[0] ?? '');
    this.fallback = alike[0] === 0 ? alike : certificates.length === 0 ? none : [0];
  }

  /** Indexes of the certificates that are for this name, the best first; empty: none is, or there is no name (''). */
  find(serverName: string): readonly number[] {
    const lower = serverName.toLowerCase();
    const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
    return this.exact.get(name) ?? this.byWildcard(name);
  }

  private byWildcard(name: string): readonly number[] {
    const firstDot = name.indexOf('.');
    return firstDot <= 0 ? none : (this.wildcard.get(name.slice(firstDot + 1)) ?? none);
  }
}

function add(sets: Map<string, Set<number>>, name: string, index: number): void {
  const known = sets.get(name);
  if (known === undefined) sets.set(name, new Set([index]));
  else known.add(index);
}
