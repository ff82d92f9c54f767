/**
 * Story: what became of one request, made of its record in the flight recorder: as data, with a timeline, and in one sentence.
 *
 * Rule: only what was recorded is told. What would happen to the same request now is explain's question.
 */
import { type Fault, fault as faultNumbers, faults } from '../../base/faults.ts';
import type { TlsFacts } from '../../base/tls-facts.ts';
import type { RequestRecord, TryRecord } from '../../state/channel.ts';
import type { Named, PlanNames } from './plan-names.ts';

/** Times in seconds from the first byte of the request, null where something did not happen. */
export interface RequestStory {
  id: string;
  /** The id was longer than what is kept. */
  isIdCut: boolean;
  /** RFC 3339: the first byte. */
  startedAt: string;
  worker: number;
  epoch: number;
  /** Why it is remembered: served, refused, failed (or slow, or tried more than once). */
  kind: RequestRecord['kind'];
  /** `method` null: no request could be read. `isCut`: host or path were longer. */
  request: { method: string | null; protocol: string; scheme: string; host: string; path: string; isCut: boolean };
  /** `isTold`: the peer is trusted, so this is what it says, if it says anything. */
  client: { address: string; port: number | null; isTold: boolean };
  listener: string;
  /** Of the client's connection; null: TLS was not opened here. */
  tls: TlsFacts | null;
  route: Named | null;
  pool: (Named & { isFallback: boolean; inFlight: number | null }) | null;
  /** Of the rate limit that counted: "name:decision". */
  limit: string | null;
  sticky: string | null;
  /** What a hashing policy placed it by. */
  key: number | null;
  tries: StoryTry[];
  triesCount: number;
  /** `status` 0: nothing was answered. `reason`, `detail`: of a fault. */
  answer: { status: number; reason: string | null; detail: string | null };
  bytes: { in: number; out: number };
  seconds: {
    head: number;
    queue: number;
    /** Waiting for connections. */
    connect: number;
    /** In tries that failed, and between tries. */
    lost: number;
    sent: number | null;
    answered: number | null;
    total: number;
  };
  timeline: TimelineEvent[];
  verdict: string;
}

/** `at`: seconds from the beginning. */
export interface TimelineEvent {
  at: number;
  text: string;
}

interface StoryTry {
  endpoint: string;
  kind: TryRecord['kind'];
  began: number;
  ended: number | null;
  /** On the endpoint, this request included. */
  inFlight: number;
  status: number | null;
  reason: string | null;
  /** "refused the connection", "answered 503". */
  outcome: string;
}

export function storyOf(record: RequestRecord, worker: number, names: PlanNames): RequestStory {
  const { epoch } = record;
  const fault = record.faultId === 0 ? null : faults[record.faultId]!;
  const pool = names.pool(epoch, record.pool);
  const tries = record.tries.map((one, i): StoryTry => {
    const endpoint = names.endpoint(epoch, one.slot);
    return {
      endpoint,
      kind: one.kind,
      began: inSeconds(one.beganMs),
      ended: secondsOf(one.endedMs),
      inFlight: one.inFlight,
      status: one.status || null,
      reason: one.faultId === 0 ? null : faults[one.faultId]!.reason,
      outcome: outcomeOf(one, record.tries[i + 1]),
    };
  });
  const story: RequestStory = {
    id: record.id,
    isIdCut: record.idLength > record.id.length,
    startedAt: new Date(record.startedAt).toISOString(),
    worker,
    epoch,
    kind: record.kind,
    request: {
      method: record.method === '' ? null : record.method === '_OTHER' ? 'another method' : record.method,
      protocol: record.protocol,
      scheme: record.isSecure ? 'https' : 'http',
      host: record.host,
      path: record.path,
      isCut: record.isCut,
    },
    client: { address: record.client, port: record.clientPort || null, isTold: record.isPeerTrusted },
    listener: names.listener(epoch, record.listener),
    tls: record.tls,
    route: names.route(epoch, record.route),
    pool: pool === null ? null : { ...pool, isFallback: record.fellBack, inFlight: record.poolInFlight || null },
    limit: record.limit || null,
    sticky: record.sticky,
    key: record.key || null,
    tries,
    triesCount: record.triesCount,
    answer: { status: record.status, reason: fault?.reason ?? null, detail: fault === null ? null : record.detail || fault.text },
    bytes: { in: record.bytesIn, out: record.bytesOut },
    seconds: {
      head: inSeconds(record.headMs),
      queue: inSeconds(record.queuedMs),
      connect: inSeconds(record.waitedMs),
      lost: inSeconds(record.lostMs),
      sent: secondsOf(record.sentMs),
      answered: secondsOf(record.answeredMs),
      total: inSeconds(record.endedMs),
    },
    timeline: [],
    verdict: '',
  };
  story.timeline = timelineOf(story, record);
  story.verdict = verdictOf(story, record, fault);
  return story;
}

/** "850µs", "3.2ms", "1.25s". */
export function shortSpan(seconds: number): string {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)}µs`;
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(3))}ms` : `${Number(seconds.toPrecision(3))}s`;
}

/** To a microsecond. */
export function inSeconds(ms: number): number {
  return Math.round(ms * 1000) / 1e6;
}

/** null: it did not happen. */
export function secondsOf(ms: number): number | null {
  return ms < 0 ? null : inSeconds(ms);
}

/** What became of a try, as a predicate of its endpoint. `next`: the try after it. */
function outcomeOf({ kind, slot, faultId, status, endedMs }: TryRecord, next: TryRecord | undefined): string {
  if (next?.kind === 'fresh' && next.slot === slot) return 'had closed the kept connection; asked again over a new one';
  if (faultId !== 0) return predicateOf(faults[faultId]!);
  if (status !== 0) return `answered ${status}`;
  return kind === 'hedge' || endedMs < 0 || next?.kind === 'hedge' ? 'was not waited for any more' : 'was given up';
}

/** A fault's sentence about an endpoint as a predicate: "refused the connection", "failed: a header field of the answer is too large". */
export function predicateOf({ side, text }: Fault): string {
  const clause = clauseOf(text);
  if (clause.startsWith('the endpoint ')) return clause.slice('the endpoint '.length);
  return side === 'client' ? 'had not finished' : `failed: ${clause}`;
}

/** A sentence, to go on after "because". */
export function clauseOf(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '');
}

function timelineOf(story: RequestStory, record: RequestRecord): TimelineEvent[] {
  const { seconds, route, pool, tries, answer } = story;
  // Its answer stands in the timeline by itself.
  const winner = winnerOf(record);
  const found = route === null ? '' : `: route ${route.name}${pool === null ? '' : `, pool ${pool.name}`}`;
  const events: TimelineEvent[] = [{ at: seconds.head, text: `head read${found}` }];
  tries.forEach(({ endpoint, kind, began, ended, inFlight, outcome }, i) => {
    const number = i === tries.length - 1 ? story.triesCount : i + 1;
    const how = kind === 'hedge' ? ', beside the one before' : kind === 'fresh' ? ', again over a new connection' : '';
    events.push({ at: began, text: `try ${number}: ${endpoint}${how} (${inFlight} in flight there)` });
    if (ended !== null && i !== winner) events.push({ at: ended, text: `${endpoint} ${outcome}` });
  });
  if (seconds.sent !== null) events.push({ at: seconds.sent, text: 'request sent' });
  if (seconds.answered !== null) events.push({ at: seconds.answered, text: `head of the answer: ${record.upstreamStatus}` });
  const end = answer.status === 0 ? 'no answer' : `answered ${answer.status}`;
  const reason = answer.reason === null ? '' : ` (${answer.reason})`;
  events.push({
    at: seconds.total,
    text: record.isTunnel ? 'the tunnel ended' : `${end}${reason}, ${record.bytesOut} bytes of body`,
  });
  return inOrder(events);
}

/** The order of events at the same moment is that of the list. */
export function inOrder(events: TimelineEvent[]): TimelineEvent[] {
  return events.sort((a, b) => a.at - b.at);
}

/** Says once what follows upon itself: "a, twice". */
export function repeated(texts: readonly string[]): string[] {
  const counted: { text: string; count: number }[] = [];
  for (const text of texts) {
    const last = counted.at(-1);
    if (last?.text === text) last.count++;
    else counted.push({ text, count: 1 });
  }
  return counted.map(({ text, count }) => (count === 1 ? text : `${text} ${count === 2 ? 'twice' : `${count} times`}`));
}

/** Place of the try whose answer the client got; -1: of none. */
function winnerOf({ tries, faultId, upstreamStatus }: RequestRecord): number {
  if (faultId !== 0) return -1;
  const answered = tries.findLastIndex(({ status }) => status !== 0 && status === upstreamStatus);
  return answered < 0 ? tries.length - 1 : answered;
}

function verdictOf(story: RequestStory, record: RequestRecord, fault: Fault | null): string {
  const { tries, route, listener, answer, seconds } = story;
  const { status } = answer;
  const winner = winnerOf(record);
  const failed = repeated(tries.filter((_, i) => i !== winner).map(({ endpoint, outcome }) => `${endpoint} ${outcome}`));
  const more = story.triesCount > tries.length ? ` (${story.triesCount} tries in all)` : '';
  const history = `${failed.join(', then ')}${more}`;
  if (fault === null) {
    if (tries.length === 0) {
      return `answered ${status} by ${route === null ? `listener ${listener}` : `route ${route.name}`}, without an endpoint`;
    }
    // Beside a hedge nothing came before.
    const link = tries.some(({ kind }) => kind === 'hedge') ? '; ' : ', after ';
    const after = failed.length === 0 ? '' : link + history;
    const by = tries[winner]!.endpoint;
    if (record.isTunnel) return `switched to a tunnel by ${by}, which lasted ${shortSpan(seconds.total)}${after}`;
    return `answered ${status} by ${by} in ${shortSpan(seconds.total)}${after}`;
  }
  const wasCut = seconds.answered !== null && record.upstreamStatus === status && status !== 0;
  // 499 is for the log only: who went away was sent nothing.
  const isUnanswered = status === 0 || record.faultId === faultNumbers.clientAborted;
  const end = wasCut ? `broken off after status ${status}` : isUnanswered ? 'not answered' : `answered ${status}`;
  const text = clauseOf(fault.text);
  if (fault.side === 'endpoint' && failed.length > 0) return `${end} because ${history}`;
  const detail = record.detail === '' ? '' : ` (${record.detail})`;
  return `${end} after ${shortSpan(seconds.total)} because ${text}${detail}${failed.length === 0 ? '' : `; ${history}`}`;
}
