/**
 * dns: addresses of endpoints that are written as names. Asked at the start and again on an interval; the last good answer is kept when a
 * later one fails, and an address stays in use as long as the answer still holds it.
 *
 * It asks the name servers of resolv.conf (and the hosts file), and never makes anybody wait: an endpoint without an answer has no address.
 */
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Plan } from '../../state/plan.ts';
import type { EventLog } from '../supervise/events.ts';

/** Answers are asked for again after this. */
export const RESOLVE_MS = 30_000;
/** A name without an answer is asked for again sooner. */
export const RESOLVE_FAILED_MS = 2000;
/** Somebody waits for first answers: for so long. */
export const FIRST_MS_MAX = 2000;

export interface Name {
  host: string;
  port: number;
}

/** "app.internal:8080" taken apart; null when the host is an address, or it is no host with port. */
export function nameOf(address: string): Name | null {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  const port = Number(address.slice(colon + 1));
  if (colon <= 0 || address.startsWith('unix:') || !Number.isInteger(port) || isIP(host.replace(/^\[|\]$/g, '')) !== 0)
    return null;
  return { host, port };
}

/** Hosts of all endpoints of a plan that want resolving. */
export function hostsOf(plan: Plan): Set<string> {
  const hosts = new Set<string>();
  for (const pool of plan.pools) {
    for (const { resolved, address } of pool.endpoints) {
      if (resolved !== null) continue;
      const name = nameOf(address);
      if (name !== null) hosts.add(name.host);
    }
  }
  return hosts;
}

export interface ResolverParts {
  events: Pick<EventLog, 'info' | 'warn'>;
  /** An address in use changed. */
  onChange: () => void;
  lookup?: (host: string) => Promise<string[]>;
  after?: (ms: number, callback: () => void) => () => void;
}

const resolver = new Resolver({ timeout: 2000, tries: 2 });

/** Addresses of a host in the text of /etc/hosts (hosts(5)). */
export function addressesIn(hosts: string, host: string): string[] {
  const wanted = host.toLowerCase();
  return hosts.split('\n').flatMap((line) => {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return address !== undefined && isIP(address) !== 0 && names.some((name) => name.toLowerCase() === wanted) ? [address] : [];
  });
}

/** IPv4 first. Not getaddrinfo(3): a slow name server would hold the threads that files are read with. */
async function systemLookup(host: string): Promise<string[]> {
  const known = addressesIn(await readFile('/etc/hosts', 'utf8').catch(() => ''), host);
  if (known.length > 0) return known.sort((a, b) => isIP(a) - isIP(b));
  const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const answers = [...(four.status === 'fulfilled' ? four.value : []), ...(six.status === 'fulfilled' ? six.value : [])];
  if (answers.length === 0 && four.status === 'rejected') throw four.reason;
  return answers;
}

interface Entry {
  address: string | null;
  hasFailed: boolean;
  cancel: () => void;
}

export class NameResolver {
  private readonly parts: ResolverParts;
  private readonly entries = new Map<string, Entry>();

  constructor(parts: ResolverParts) {
    this.parts = parts;
  }

  /** Follows the names of `plan` and no others. Resolves when each new one has its first answer, good or bad. */
  async follow(plan: Plan): Promise<void> {
    await Promise.all(this.take(plan));
  }

  /** As follow(), but waits FIRST_MS_MAX at most: an address that comes later is a change like any other. */
  async followBriefly(plan: Plan): Promise<void> {
    const after = this.parts.after ?? realAfter;
    const first = this.take(plan);
    let isOver = false;
    for (const answer of first) void answer.then((isNew) => isOver && isNew && this.parts.onChange());
    await new Promise<void>((resolve) => {
      const cancel = after(FIRST_MS_MAX, resolve);
      void Promise.all(first).then(() => {
        cancel();
        resolve();
      });
    });
    isOver = true;
  }

  /** Returns a promise for each name that is new: true when it has an address and is still followed. */
  private take(plan: Plan): Promise<boolean>[] {
    const hosts = hostsOf(plan);
    for (const [host, entry] of this.entries) {
      if (hosts.has(host)) continue;
      entry.cancel();
      this.entries.delete(host);
    }
    const first: Promise<boolean>[] = [];
    for (const host of hosts) {
      if (this.entries.has(host)) continue;
      const entry: Entry = { address: null, hasFailed: false, cancel: () => {} };
      this.entries.set(host, entry);
      first.push(this.ask(host, entry));
    }
    return first;
  }

  /** The plan with the addresses known now. */
  resolve(plan: Plan): Plan {
    if (this.entries.size === 0) return plan;
    return {
      ...plan,
      pools: plan.pools.map((pool) => ({
        ...pool,
        endpoints: pool.endpoints.map((endpoint) => {
          const name = endpoint.resolved === null ? nameOf(endpoint.address) : null;
          const address = name === null ? null : (this.entries.get(name.host)?.address ?? null);
          return address === null
            ? endpoint
            : { ...endpoint, resolved: { kind: 'ip' as const, host: address, port: name!.port } };
        }),
      })),
    };
  }

  stop(): void {
    for (const entry of this.entries.values()) entry.cancel();
    this.entries.clear();
  }

  /** Asks once and sets the next time. True when the address changed, and is still followed. */
  private async ask(host: string, entry: Entry): Promise<boolean> {
    const { parts } = this;
    const after = parts.after ?? realAfter;
    const before = entry.address;
    try {
      const answers = await (parts.lookup ?? systemLookup)(host);
      if (answers.length === 0) throw new Error('no address');
      if (before === null || !answers.includes(before)) entry.address = answers[0]!;
      if (entry.hasFailed) parts.events.info('name_resolved', `${host} is ${entry.address}`, { host });
      else if (before !== null && before !== entry.address) {
        parts.events.info('name_moved', `${host} is now ${entry.address}`, { host, before });
      }
      entry.hasFailed = false;
    } catch (error) {
      if (!entry.hasFailed) {
        const kept = before === null ? 'it has no address' : `${before} stays in use`;
        parts.events.warn(
          'name_unresolved',
          `${host} cannot be resolved: ${(error as NodeJS.ErrnoException).code ?? error}; ${kept}`,
          { host },
        );
      }
      entry.hasFailed = true;
    }
    if (this.entries.get(host) !== entry) return false;
    entry.cancel = after(entry.address === null ? RESOLVE_FAILED_MS : RESOLVE_MS, () => {
      void this.ask(host, entry).then((isNew) => isNew && parts.onChange());
    });
    return entry.address !== before;
  }
}

function realAfter(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}
