/** A pool's part in an explanation, as text: who could be picked, who is, and what besides the policy decided. */
import type { Candidate } from './candidates.ts';
import type { Level, PoolStep } from './place.ts';
import { durationText } from './words.ts';

/** Candidates shown in text; --json has all. */
const LINES_MAX = 20;

/** Sections in the order in which they are read. */
export function poolSections(pool: PoolStep, isPassed: boolean): (readonly [name: string, lines: readonly string[]])[] {
  const { panic, zone, subset, sticky, breaker, queue } = pool;
  return [
    [isPassed ? 'passed' : 'pool', [headLine(pool, isPassed), ...candidateLines(pool.candidates, pool.pick)]],
    [
      'panic',
      panic === null ? [] : [`${panic.ready} of ${panic.of} are ready, below ${percent(panic.threshold)}: health is ignored`],
    ],
    [
      'zone',
      zone === null
        ? []
        : [`${zone.name} first: ${zone.usable} usable there; ${percent(zone.stays)} of requests stay while those have room`],
    ],
    ['subset', subset === null ? [] : [`this node uses ${subset.size} of ${subset.of}, chosen by its name`]],
    ['sticky', sticky === null ? [] : [stickyText(sticky)]],
    ['breaker', breaker === null ? [] : [breakerText(breaker)]],
    ['queue', queueLines(queue)],
  ];
}

function headLine({ name, source, of, candidates, policy, hashOn, lookedAt, pick, queue }: PoolStep, isPassed: boolean): string {
  const usable = candidates.filter(({ isUsable }) => isUsable).length;
  const inFlight = (address: string): number => candidates.find((c) => c.endpoint === address)?.inFlight ?? 0;
  const looked = lookedAt.map((address) => `${address} (${inFlight(address)} in flight)`).join(', ');
  const goes = pick ?? (isPassed ? 'its fallback' : queue.waits ? 'the queue' : 'nobody');
  return (
    `${name}${of === null ? '' : ` (of ${of})`}  ${source}  ${candidates.length} ${candidates.length === 1 ? 'endpoint' : 'endpoints'} (${usable} usable)  ` +
    `${policy}${hashOn === null ? '' : ` on ${hashOn}`}${looked === '' ? '' : ` looked at ${looked}`}  ->  ${goes}`
  );
}

function candidateLines(candidates: readonly Candidate[], pick: string | null): string[] {
  const rows = candidates.slice(0, LINES_MAX).map((candidate) => {
    const { endpoint, state, why, weight, ramp, inFlight, requestsMax, score, share, isBackup, zone } = candidate;
    return [
      endpoint === pick ? '*' : ' ',
      endpoint,
      `${state}${isBackup ? ' backup' : ''}`,
      zone === null ? '' : `zone ${zone}`,
      `weight ${Number(weight.toPrecision(3))}${ramp < 1 ? ` (warm to ${percent(ramp)})` : ''}`,
      `${inFlight}${requestsMax === null ? '' : ` of ${requestsMax}`} in flight`,
      score === null ? '' : `score ${score.toPrecision(3)}`,
      share === null ? '' : `share ${percent(share)}`,
      why === null ? '' : `(${why})`,
    ];
  });
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .filter((_, column) => widths[column]! > 0)
      .join('  ')
      .trimEnd(),
  );
  if (candidates.length > LINES_MAX) lines.push(`  ${candidates.length - LINES_MAX} more (--json has them)`);
  return lines;
}

function stickyText({ cookie, result, endpoint }: NonNullable<PoolStep['sticky']>): string {
  switch (result) {
    case 'hit':
      return `cookie ${cookie} names ${endpoint}`;
    case 'moved':
      return `cookie ${cookie} names ${endpoint}, which cannot take it: bound to the pick from now on`;
    case 'lost':
      return `cookie ${cookie} names no endpoint of this pool: bound to the pick from now on`;
    default:
      return `no cookie ${cookie}: bound to the pick from now on`;
  }
}

function breakerText({ requests, pending, retries, isShadow, isOpen }: NonNullable<PoolStep['breaker']>): string {
  const levels: [string, Level][] = [
    ['requests', requests],
    ['waiting', pending],
    ['retries', retries],
  ];
  const texts = levels.flatMap(([name, level]) => (level === null ? [] : [`${name} ${level.now} of ${level.max}`]));
  return `${isOpen ? 'open' : 'closed'}${isShadow ? ' (shadow: nothing is refused)' : ''}: ${texts.join(', ')}`;
}

function queueLines({ waits, waiting, max, seconds, urgency }: PoolStep['queue']): string[] {
  if (!waits && waiting === 0) return [];
  const others = `${waiting} ${waiting === 1 ? 'waits' : 'wait'} (at most ${max} in a worker)`;
  if (waits)
    return [
      `every endpoint that is ready is full: it waits up to ${durationText(seconds * 1000)} with urgency ${urgency}; ${others}`,
    ];
  return [`${others}: those in the same worker come first`];
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}
