/**
 * Orders: what people said of endpoints at run time, and why.
 *
 * State and weight stand in the state table, where every worker sees them at its next pick, and where they outlive reloads and the
 * control process; who said so, when and why is remembered here, for as long as this process lives.
 *
 * Rules
 * 1. A note counts only while the table still says what it explains: a slot may have been given to another endpoint meanwhile.
 */
import { admin } from '../../state/doors.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';
import type { EndpointNote } from './control-state.ts';

export const orderStates = Object.freeze(['ready', 'drain', 'maint'] as const);
export type OrderState = (typeof orderStates)[number];

/** Longest reason that is kept. */
export const REASON_CHARS_MAX = 200;
/** Ten times the configured weight: more is a slip. */
export const WEIGHT_PERCENT_MAX = 1000;

export interface OrderParts {
  door: Pick<ControlDoor, 'admin' | 'setAdmin' | 'weightPercent' | 'setWeightPercent'>;
  events: Pick<EventLog, 'info'>;
  /** ms since 1970. */
  now: () => number;
}

/** Whom an order is about, and who gave it. */
export interface Order {
  readonly pool: string;
  readonly endpoint: string;
  readonly slot: number;
  /** null: none was given. */
  readonly reason: string | null;
  /** Address of who asked, or "unix socket". */
  readonly by: string;
}

interface Note {
  readonly value: number;
  readonly since: number;
  readonly reason: string | null;
  readonly by: string;
}

export class Orders {
  private readonly parts: OrderParts;
  private readonly states = new Map<number, Note>();
  private readonly weights = new Map<number, Note>();

  constructor(parts: OrderParts) {
    this.parts = parts;
  }

  /** Sets the state. The same state again only changes the reason, when one is given. */
  setState(order: Order, to: OrderState): void {
    const { door, events, now } = this.parts;
    const { slot, pool, endpoint, reason, by } = order;
    const value = admin[to];
    const wasSame = door.admin(slot) === value;
    if (wasSame && (value === admin.ready || reason === null)) return;
    const since = wasSame ? this.noteIn(this.states, slot, value)?.since : undefined;
    if (value === admin.ready) this.states.delete(slot);
    else this.states.set(slot, { value, since: since ?? now(), reason, by });
    door.setAdmin(slot, value);
    const said = { ready: 'is ready again', drain: 'drains: it gets no new requests', maint: 'is in maintenance' };
    events.info(`endpoint_${to}`, `endpoint ${pool}/${endpoint} ${said[to]}`, { pool, endpoint, reason, by });
  }

  /** Sets the weight in percent of the configured one. 100 takes the order back. */
  setWeight(order: Order, percent: number): void {
    const { door, events, now } = this.parts;
    const { slot, pool, endpoint, reason, by } = order;
    if (percent === 100) this.weights.delete(slot);
    else this.weights.set(slot, { value: percent, since: now(), reason, by });
    door.setWeightPercent(slot, percent);
    events.info('endpoint_weight', `endpoint ${pool}/${endpoint} has ${percent}% of its weight`, { pool, endpoint, reason, by });
  }

  /** Why the endpoint drains or is in maintenance; null when it does not, or nobody of this process said so. */
  stateNote(slot: number): EndpointNote | null {
    const value = this.parts.door.admin(slot);
    return value === admin.ready ? null : noteOf(this.noteIn(this.states, slot, value));
  }

  /** Who ordered that the endpoint drains or is in maintenance; null when it does not, or nobody of this process said so. */
  orderedBy(slot: number): string | null {
    return this.noteIn(this.states, slot, this.parts.door.admin(slot))?.by ?? null;
  }

  /** Why the weight is another than the configured one. */
  weightNote(slot: number): EndpointNote | null {
    const percent = this.parts.door.weightPercent(slot);
    return percent === 100 ? null : noteOf(this.noteIn(this.weights, slot, percent));
  }

  private noteIn(notes: Map<number, Note>, slot: number, value: number): Note | null {
    const note = notes.get(slot);
    return note !== undefined && note.value === value ? note : null;
  }
}

function noteOf(note: Note | null): EndpointNote | null {
  return note === null ? null : { why: note.reason ?? 'set by an operator', since: note.since };
}
