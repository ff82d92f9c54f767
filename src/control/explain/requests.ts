/** Requests: the flight recorders of all workers as one, for the admin API. */
import {
  type ConnectionFilter,
  type Reach,
  type RecordFilter,
  type RecordKind,
  type RecordThing,
  recordKinds,
  recordThings,
} from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import type { Found, Question } from '../supervise/inquiries.ts';
import { PlanNames } from './plan-names.ts';
import { type RequestStory, storyOf } from './story.ts';
import { type ConnectionStory, connectionStoryOf } from './story-connection.ts';

/** RFC 3339: from then on every thing of a kind that ended is remembered by every worker. */
type Since = Record<RecordKind, string>;

export interface Stories {
  /** The latest first. */
  items: RequestStory[];
  /** null: no worker answered. */
  since: Since | null;
  /** Workers that did not answer. */
  silent: number[];
}

/** The same of connections and the datagrams of clients. */
export interface ConnectionStories {
  items: ConnectionStory[];
  since: { connections: Since; datagrams: Since } | null;
  silent: number[];
}

/** What had one id. */
export interface Traces {
  requests: RequestStory[];
  connections: ConnectionStory[];
  since: Record<keyof Reach, Since> | null;
  silent: number[];
}

export class Requests {
  private readonly lookUp: (question: Question) => Promise<Found>;
  private readonly names = new PlanNames();

  constructor(lookUp: (question: Question) => Promise<Found>) {
    this.lookUp = lookUp;
  }

  /** A plan is about to be brought to the workers. */
  learn(plan: Plan): void {
    this.names.learn(plan);
  }

  async recent(limit: number, filter: RecordFilter): Promise<Stories> {
    const { requests, since, silent } = this.tracesOf(await this.lookUp({ type: 'recent', limit, filter }));
    return { items: requests.slice(0, limit), since: since?.requests ?? null, silent };
  }

  async connections(limit: number, filter: ConnectionFilter): Promise<ConnectionStories> {
    const { connections, since, silent } = this.tracesOf(await this.lookUp({ type: 'connections', limit, filter }));
    return { items: connections.slice(0, limit), since, silent };
  }

  /** All requests with this id, or the connection; a sentence when none is remembered. */
  async find(id: string): Promise<Traces | string> {
    const found = await this.lookUp({ type: 'find', id });
    const traces = this.tracesOf(found);
    if (traces.requests.length + traces.connections.length > 0) return traces;
    const owner = found.answers.find(({ found: { isOwn } }) => isOwn);
    const who =
      owner === undefined
        ? `no running worker gave the id ${id} out, or remembers it`
        : `worker ${owner.worker} gave the id ${id} out, but what had it is still under way, or forgotten`;
    const { since, silent } = traces;
    const reach = since === null ? '' : recordThings.map((thing) => `; ${reachText(thing, since[thing])}`).join('');
    return `${who}${reach}${silent.length === 0 ? '' : `; worker ${silent.join(', ')} did not answer`}`;
  }

  private tracesOf({ answers, silent }: Found): Traces {
    const requests = answers.flatMap(({ worker, found }) => found.records.map((record) => storyOf(record, worker, this.names)));
    const connections = answers.flatMap(({ worker, found }) =>
      found.connections.map((record) => connectionStoryOf(record, worker, this.names)),
    );
    return { requests: latestFirst(requests), connections: latestFirst(connections), since: sinceOf(answers), silent };
  }
}

function latestFirst<T extends { startedAt: string }>(stories: T[]): T[] {
  return stories.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** "connections are remembered since …"; of each kind when they differ. */
function reachText(thing: RecordThing, { served, refused, failed }: Since): string {
  const isOne = served === refused && served === failed;
  if (isOne) return `${thing} are remembered since ${served}`;
  return `served ${thing} are remembered since ${served}, refused ones since ${refused}, failed and slow ones since ${failed}`;
}

function sinceOf(answers: Found['answers']): Traces['since'] {
  if (answers.length === 0) return null;
  const of = (thing: keyof Reach): Since => {
    const since = recordKinds.map((kind) => [kind, Math.max(...answers.map(({ found }) => found.reach[thing][kind]))] as const);
    return Object.fromEntries(since.map(([kind, ms]) => [kind, new Date(ms).toISOString()])) as Since;
  };
  return { requests: of('requests'), connections: of('connections'), datagrams: of('datagrams') };
}
