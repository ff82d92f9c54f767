/**
 * ConnectionStory: what became of one connection that was carried as it is, or of the datagrams of one client; as story.ts for requests.
 *
 * Rule: only what was recorded is told.
 */
import { type Fault, type FaultName, type FaultSide, faults } from '../../base/faults.ts';
import type { ConnectionRecord, TryRecord } from '../../state/channel.ts';
import type { Named, NamedStream, PlanNames } from './plan-names.ts';
import { clauseOf, inOrder, inSeconds, predicateOf, repeated, secondsOf, shortSpan, type TimelineEvent } from './story.ts';

/** Times in seconds from the beginning (accepted, or the first datagram), null where something did not happen. */
export interface ConnectionStory {
  id: string;
  /** RFC 3339. */
  startedAt: string;
  worker: number;
  epoch: number;
  /** Why it is remembered: served, refused, failed; open: it is not over. */
  kind: ConnectionRecord['kind'];
  protocol: ConnectionRecord['protocol'];
  client: { address: string; port: number | null };
  /** Who sent the PROXY line that named the client; null: nobody did. */
  peer: { address: string; port: number | null } | null;
  /** Of the client hello, or of a PROXY line. */
  serverName: string | null;
  alpn: string | null;
  /** TLS was opened here. */
  tls: ConnectionRecord['tls'];
  listener: string;
  /** null: none matched. */
  route: NamedStream | null;
  pool: (Named & { isFallback: boolean; inFlight: number | null }) | null;
  /** It waits for a place in the pool since then (RFC 3339); null: it does not. */
  queuedSince: string | null;
  key: number | null;
  tries: ConnectionTry[];
  triesCount: number;
  /** What was wrong, and whose it was; null: nothing. */
  fault: { side: FaultSide; reason: string; text: string } | null;
  /** Who ended first. */
  endedBy: ConnectionRecord['endedBy'];
  bytes: { in: number; out: number };
  /** null: it was a connection. */
  datagrams: { in: number; out: number } | null;
  seconds: {
    /** Until it was known where it has to go. */
    began: number;
    /** In queues, up to now. */
    queue: number;
    /** Of the try that succeeded. */
    connect: number | null;
    /** From then, or of datagrams from the try, to the endpoint's first byte. */
    first: number | null;
    /** Of datagrams: from the last one to the end. */
    idle: number | null;
    /** null: it is not over. */
    total: number | null;
  };
  timeline: TimelineEvent[];
  verdict: string;
}

interface ConnectionTry {
  endpoint: string;
  began: number;
  /** null: it goes on. */
  ended: number | null;
  /** On the endpoint, this one included. */
  inFlight: number;
  reason: string | null;
  /** "refused the connection", "took it". */
  outcome: string;
}

type Words = Readonly<Partial<Record<FaultName, string>>>;

/** What a fault means here, where the words for requests do not fit: in general, for connections, for datagrams. */
const anyTexts: Words = {
  destinationNotFound: 'No route matches it',
  destinationUnavailable: 'No endpoint can take it',
  queueFull: 'Too many are there, or wait',
  queueTimeout: 'It waited too long for an endpoint',
  draining: 'The time of a drain is over',
};
const texts: Readonly<Record<ConnectionRecord['protocol'], Words>> = {
  tcp: {
    ...anyTexts,
    clientAborted: 'The client reset it',
    connectionTerminated: 'The endpoint reset it before it had said anything',
    responseIncomplete: 'The endpoint reset it',
    overload: 'There is no room for it',
    streamIdle: 'It was idle for too long',
    streamTotal: 'It was open for too long',
  },
  udp: {
    ...anyTexts,
    connectionTerminated: 'The endpoint is gone',
    overload: 'Others needed the room',
    streamIdle: 'No answer came in time',
    streamTotal: 'It was remembered for long enough',
  },
};

export function connectionStoryOf(record: ConnectionRecord, worker: number, names: PlanNames): ConnectionStory {
  const { epoch, protocol, tls } = record;
  const fault = record.faultId === 0 ? null : faults[record.faultId]!;
  const pool = names.pool(epoch, record.pool);
  const isUdp = protocol === 'udp';
  const lastBegan = record.tries.at(-1)?.beganMs ?? 0;
  const story: ConnectionStory = {
    id: record.id,
    startedAt: new Date(record.startedAt).toISOString(),
    worker,
    epoch,
    kind: record.kind,
    protocol,
    client: { address: record.client, port: record.clientPort || null },
    peer: record.peer === '' ? null : { address: record.peer, port: record.peerPort || null },
    serverName: record.serverName || null,
    alpn: record.alpn || null,
    tls,
    listener: names.listener(epoch, record.listener),
    route: names.stream(epoch, record.route),
    pool: pool === null ? null : { ...pool, isFallback: record.fellBack, inFlight: record.poolInFlight || null },
    queuedSince: record.waitsSinceMs < 0 ? null : new Date(record.startedAt + record.waitsSinceMs).toISOString(),
    key: record.key || null,
    tries: record.tries.map((one, i) => tryOf(one, i === record.tries.length - 1, record, names)),
    triesCount: record.triesCount,
    fault: fault === null ? null : { side: fault.side, reason: fault.reason, text: clauseOf(sentenceOf(fault, protocol)) },
    endedBy: record.endedBy,
    bytes: { in: record.bytesIn, out: record.bytesOut },
    datagrams: isUdp ? { in: record.datagramsIn, out: record.datagramsOut } : null,
    seconds: {
      began: inSeconds(record.beganMs),
      queue: inSeconds(record.queuedMs),
      connect: record.connectedMs < 0 ? null : inSeconds(record.connectedMs - lastBegan),
      first: record.firstMs < 0 ? null : inSeconds(record.firstMs - (isUdp ? lastBegan : record.connectedMs)),
      idle: record.lastMs < 0 || record.endedMs < 0 ? null : inSeconds(record.endedMs - record.lastMs),
      total: secondsOf(record.endedMs),
    },
    timeline: [],
    verdict: '',
  };
  story.timeline = timelineOf(story, record);
  story.verdict = verdictOf(story, record, fault);
  return story;
}

function tryOf(one: TryRecord, isLast: boolean, record: ConnectionRecord, names: PlanNames): ConnectionTry {
  const { protocol } = record;
  const fault = one.faultId === 0 ? null : faults[one.faultId]!;
  return {
    endpoint: names.endpoint(record.epoch, one.slot),
    began: inSeconds(one.beganMs),
    ended: secondsOf(one.endedMs),
    inFlight: one.inFlight,
    reason: fault?.reason ?? null,
    outcome: outcomeOf(fault, isLast && isTaken(record), protocol),
  };
}

/** What became of a try, as a predicate of its endpoint. */
function outcomeOf(fault: Fault | null, wasTaken: boolean, protocol: ConnectionRecord['protocol']): string {
  if (fault !== null && isOfTry(fault)) return predicateOf({ ...fault, text: sentenceOf(fault, protocol) });
  if (protocol === 'udp') return wasTaken ? 'answered' : 'had not answered';
  return wasTaken ? 'took it' : 'had not taken it';
}

/** Is it the endpoint's, or that of connecting to it? */
function isOfTry({ side, phase }: Fault): boolean {
  return side === 'endpoint' || phase === 'connect';
}

/** Did an endpoint take the connection, or answer? */
function isTaken({ protocol, connectedMs, firstMs }: ConnectionRecord): boolean {
  return (protocol === 'udp' ? firstMs : connectedMs) >= 0;
}

function sentenceOf({ name, text }: Fault, protocol: ConnectionRecord['protocol']): string {
  return texts[protocol][name] ?? text;
}

function timelineOf(story: ConnectionStory, record: ConnectionRecord): TimelineEvent[] {
  const { seconds, route, pool, tries, fault } = story;
  const wasTaken = isTaken(record);
  const events: TimelineEvent[] = [];
  const found = route === null ? 'no route matches' : `route ${route.name}${pool === null ? '' : `, pool ${pool.name}`}`;
  events.push({ at: seconds.began, text: story.protocol === 'udp' ? `first datagram: ${found}` : found });
  tries.forEach(({ endpoint, began, ended, inFlight, outcome }, i) => {
    const number = i === tries.length - 1 ? story.triesCount : i + 1;
    events.push({ at: began, text: `try ${number}: ${endpoint} (${inFlight} in flight there)` });
    // How the last one ended is how all ended.
    if (ended !== null && !(wasTaken && i === tries.length - 1)) events.push({ at: ended, text: `${endpoint} ${outcome}` });
  });
  if (record.waitsSinceMs >= 0) events.push({ at: inSeconds(record.waitsSinceMs), text: `waits for a place in ${pool!.name}` });
  if (record.connectedMs >= 0) events.push({ at: inSeconds(record.connectedMs), text: 'connected' });
  if (record.firstMs >= 0) {
    const what = story.protocol === 'udp' ? 'first answer' : 'first byte of the endpoint';
    events.push({ at: inSeconds(record.firstMs), text: what });
  }
  if (seconds.total !== null) {
    const reason = fault === null ? '' : ` (${fault.reason})`;
    events.push({ at: seconds.total, text: `over${reason}, ${carriedText(story)}` });
  }
  return inOrder(events);
}

/** "12 bytes in, 2048 out". */
export function carriedText({ bytes, datagrams }: ConnectionStory): string {
  const inBytes = `${bytes.in} bytes in, ${bytes.out} out`;
  return datagrams === null ? inBytes : `${datagrams.in} datagrams in, ${datagrams.out} out; ${inBytes}`;
}

function verdictOf(story: ConnectionStory, record: ConnectionRecord, fault: Fault | null): string {
  const { tries, seconds, protocol } = story;
  const wasTaken = isTaken(record);
  const isOpen = seconds.total === null;
  const isWaiting = story.queuedSince !== null;
  const before = !isWaiting && (wasTaken || isOpen) ? tries.slice(0, -1) : tries;
  const failed = repeated(before.map(({ endpoint, outcome }) => `${endpoint} ${outcome}`));
  const more = story.triesCount > tries.length ? ` (${story.triesCount} tries in all)` : '';
  const history = `${failed.join(', then ')}${more}`;
  const by = tries.at(-1)?.endpoint ?? '';
  const after = failed.length === 0 ? '' : `, after ${history}`;
  if (isWaiting) return `open; waits for a place in ${story.pool!.name}, ${shortSpan(seconds.queue)} so far${after}`;
  if (isOpen) return `open; ${openText(protocol, wasTaken, by)}${after}`;
  const took = shortSpan(seconds.total!);
  const reason = fault === null ? '' : clauseOf(sentenceOf(fault, protocol));
  if (!wasTaken) {
    const told = history === '' ? '' : `; ${history}`;
    if (fault !== null && isOfTry(fault))
      return `${protocol === 'udp' ? 'not answered' : 'reset'} after ${took} because ${history}`;
    if (protocol === 'udp') return `not answered by ${by} in ${took}${fault === null ? '' : ` because ${reason}`}`;
    return fault?.side === 'client' ? `left by the client after ${took}${told}` : `reset after ${took} because ${reason}${told}`;
  }
  const cause = fault !== null && isOfTry(fault) ? `${by} ${tries.at(-1)!.outcome}` : reason;
  if (protocol === 'udp') {
    const idle = seconds.idle! > 0 ? `, the last ${shortSpan(seconds.idle!)} without a datagram` : '';
    const end = fault === null ? '' : `; ended because ${cause}`;
    return `answered by ${by} within ${shortSpan(seconds.first!)}${after}; remembered for ${took}${idle}${end}`;
  }
  const queue = seconds.queue > 0 ? `, ${shortSpan(seconds.queue)} of it in the queue` : '';
  const end = fault !== null ? `; reset because ${cause}` : story.endedBy === null ? '' : `; the ${story.endedBy} ended it`;
  return `carried to ${by} in ${took}${queue}${after}${end}`;
}

function openText(protocol: ConnectionRecord['protocol'], wasTaken: boolean, by: string): string {
  if (protocol === 'udp') return wasTaken ? `${by} answers` : `${by} has not answered yet`;
  return wasTaken ? `carried to ${by}` : `connecting to ${by}`;
}
