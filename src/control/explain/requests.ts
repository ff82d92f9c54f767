/** Requests: the flight recorders of all workers as one, for the admin API. */
import type { RecordFilter, RecordKind } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import type { Found, Question } from '../supervise/inquiries.ts';
import { PlanNames } from './plan-names.ts';
import { type RequestStory, storyOf } from './story.ts';

export interface Stories {
  /** The latest first. */
  items: RequestStory[];
  /** RFC 3339: from then on every request of a kind that ended is remembered by every worker; null: no worker answered. */
  since: Record<RecordKind, string> | null;
  /** Workers that did not answer. */
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
    const stories = this.storiesOf(await this.lookUp({ type: 'recent', limit, filter }));
    return { ...stories, items: stories.items.slice(0, limit) };
  }

  /** All requests with this id; a sentence when none is remembered. */
  async find(id: string): Promise<Stories | string> {
    const found = await this.lookUp({ type: 'find', id });
    const stories = this.storiesOf(found);
    if (stories.items.length > 0) return stories;
    const owner = found.answers.find(({ found: { isOwn } }) => isOwn);
    const who =
      owner === undefined
        ? `no running worker gave the id ${id} out, or remembers it`
        : `worker ${owner.worker} gave the id ${id} out, but its request is still under way, or forgotten`;
    const { since, silent } = stories;
    const reach =
      since === null
        ? ''
        : `; served requests are remembered since ${since.served}, refused ones since ${since.refused}, failed and slow ones since ${since.failed}`;
    return `${who}${reach}${silent.length === 0 ? '' : `; worker ${silent.join(', ')} did not answer`}`;
  }

  private storiesOf({ answers, silent }: Found): Stories {
    const items = answers.flatMap(({ worker, found }) => found.records.map((record) => storyOf(record, worker, this.names)));
    items.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
    const of = (kind: RecordKind): string => new Date(Math.max(...answers.map(({ found }) => found.reach[kind]))).toISOString();
    const since = answers.length === 0 ? null : { served: of('served'), refused: of('refused'), failed: of('failed') };
    return { items, since, silent };
  }
}
