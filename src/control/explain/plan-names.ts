/**
 * PlanNames: what ids and slots meant in the plans of this instance, so that a record of an earlier epoch is told in the words of its time.
 *
 * A name is noted only when it is another than before: plans that are alike cost nothing.
 */
import type { Plan } from '../../state/plan.ts';
import { streamMatchText } from './words.ts';

/** Meanings of one number that are remembered: a slot that is given away again and again forgets the first ones. */
const MEANINGS_MAX = 8;

/** A part of a plan, and where it was written; '' where that says nothing. */
export interface Named {
  readonly name: string;
  readonly source: string;
}

/** A route of connections or datagrams, and what it asks for. */
export interface NamedStream extends Named {
  readonly match: string;
}

interface Meaning {
  readonly epoch: number;
  readonly named: Named;
}

class Meanings {
  private readonly byNumber = new Map<number, Meaning[]>();

  learn(epoch: number, id: number, name: string, source = ''): void {
    if (id < 0) return;
    const known = this.byNumber.get(id) ?? [];
    const last = known.at(-1)?.named;
    if (last?.name === name && last.source === source) return;
    known.push({ epoch, named: { name, source } });
    if (known.length > MEANINGS_MAX) known.shift();
    this.byNumber.set(id, known);
  }

  at(epoch: number, id: number): Named | null {
    return this.byNumber.get(id)?.findLast((meaning) => meaning.epoch <= epoch)?.named ?? null;
  }
}

export class PlanNames {
  private readonly listeners = new Meanings();
  private readonly routes = new Meanings();
  private readonly pools = new Meanings();
  private readonly slots = new Meanings();
  /** What routes of connections ask for, as names. */
  private readonly matches = new Meanings();

  /** Plans come in the order of their epochs, before any worker has them in force. */
  learn({ epoch, listeners, routes, pools }: Plan): void {
    for (const { id, name } of listeners) this.listeners.learn(epoch, id, name);
    // Routes of one name share an id: the first says where it was written.
    const seen = new Set<number>();
    for (const { id, name, source } of routes) {
      if (!seen.has(id)) this.routes.learn(epoch, id, name, source);
      seen.add(id);
    }
    this.learnStreams(epoch, listeners);
    for (const { id, name, source, endpoints } of pools) {
      this.pools.learn(epoch, id, name, source);
      for (const { slot, address } of endpoints) this.slots.learn(epoch, slot, address);
    }
  }

  /** A route with several names stands in several listeners and places: all it asks for is told. */
  private learnStreams(epoch: number, listeners: Plan['listeners']): void {
    const byId = new Map<number, { name: string; source: string; matches: Set<string> }>();
    for (const { streams } of listeners) {
      for (const { id, name, source, match } of streams) {
        const seen = byId.get(id) ?? { name, source, matches: new Set() };
        byId.set(id, seen);
        seen.matches.add(streamMatchText(match));
      }
    }
    for (const [id, { name, source, matches }] of byId) {
      this.routes.learn(epoch, id, name, source);
      this.matches.learn(epoch, id, [...matches].join(' or '));
    }
  }

  listener(epoch: number, id: number): string {
    return this.listeners.at(epoch, id)?.name ?? `listener ${id} of an earlier plan`;
  }
  /** null: none. */
  route(epoch: number, id: number): Named | null {
    return id < 0 ? null : (this.routes.at(epoch, id) ?? { name: `route ${id} of an earlier plan`, source: '' });
  }
  /** null: none. */
  stream(epoch: number, id: number): NamedStream | null {
    const route = this.route(epoch, id);
    return route === null ? null : { ...route, match: this.matches.at(epoch, id)?.name ?? '' };
  }
  pool(epoch: number, id: number): Named | null {
    return id < 0 ? null : (this.pools.at(epoch, id) ?? { name: `pool ${id} of an earlier plan`, source: '' });
  }
  endpoint(epoch: number, slot: number): string {
    return this.slots.at(epoch, slot)?.name ?? `slot ${slot} of an earlier plan`;
  }
}
