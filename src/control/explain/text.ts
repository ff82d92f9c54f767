/** An explanation as text. */
import type { Candidate } from './choice.ts';
import type { Explanation, RouteStep } from './explain.ts';
import { printableLines, sectionsOf } from './lines.ts';

/** Routes that missed, and candidates, shown in text; --json has all. */
const LINES_MAX = 20;

export function explanationText(explanation: Explanation): string {
  const { request, listener, client, filters, rewrite, answer, pool, limits } = explanation;
  const { lines, section } = sectionsOf(`${request.method} ${request.url} from ${request.peer}`);
  section('listener', [`${listener.name}  ${listener.addresses.join(' ')}  ${listener.protocol}  (${listener.why})`]);
  if (client.from === 'field') section('client', [`${client.address}, as ${client.field} says; the peer is trusted`]);
  if (client.from === 'malformed field')
    section('client', [`${client.address}: ${client.field} of the trusted peer cannot be read`]);
  section('route', routeLines(explanation.routes));
  section(
    'filters',
    filters.map(({ name, status, effect }) => {
      return `${name}  ${status === 0 ? '' : `would answer ${status}: `}${effect.join(', ') || 'changes nothing'}`;
    }),
  );
  if (rewrite !== null) {
    const host = rewrite.host === null ? '' : `, host ${rewrite.host}`;
    section('rewrite', [`${rewrite.from} -> ${rewrite.to}${host}`]);
  }
  if (pool !== null) {
    const usable = pool.candidates.filter(({ isUsable }) => isUsable).length;
    const of = pool.of === null ? '' : ` (of ${pool.of})`;
    const inFlight = (address: string): number => pool.candidates.find((c) => c.endpoint === address)?.inFlight ?? 0;
    const looked = pool.lookedAt.map((address) => `${address} (${inFlight(address)} in flight)`).join(', ');
    section('pool', [
      `${pool.name}${of}  ${pool.candidates.length} ${pool.candidates.length === 1 ? 'endpoint' : 'endpoints'} (${usable} usable)  ` +
        `${pool.policy}${pool.hashOn === null ? '' : ` on ${pool.hashOn}`}${looked === '' ? '' : ` looked at ${looked}`}  ->  ${pool.pick ?? 'nobody'}`,
      ...candidateLines(pool.candidates, pool.pick),
    ]);
  }
  if (limits !== null) section('limits', [limits.text]);
  if (answer !== null) {
    const location = answer.location === null ? '' : `  location ${answer.location}`;
    section('answer', [`${answer.status} ${answer.reason}: ${answer.detail}${location}`]);
  }
  if (explanation.note !== null) section('note', [explanation.note]);
  return printableLines(lines);
}

function routeLines(routes: readonly RouteStep[]): string[] {
  const taken = routes.find(({ verdict }) => verdict === 'taken');
  const fit = routes.filter(({ verdict }) => verdict === 'also fits').map(({ name }) => name);
  const missed = routes.filter(({ verdict }) => verdict === 'missed');
  const lines =
    taken === undefined
      ? routes.length === 0
        ? []
        : ['none']
      : [`${taken.name}  ${taken.source}  ${taken.match}  (also fit: ${fit.length === 0 ? 'none' : fit.join(', ')})`];
  for (const { name, source, missed: why } of missed.slice(0, LINES_MAX)) {
    lines.push(`${name}  ${source}  missed: ${why.join(', ')}`);
  }
  if (missed.length > LINES_MAX) lines.push(`${missed.length - LINES_MAX} more missed (--json has them)`);
  return lines;
}

function candidateLines(candidates: readonly Candidate[], pick: string | null): string[] {
  const rows = candidates.slice(0, LINES_MAX).map((candidate) => {
    const { endpoint, state, why, weight, inFlight, score, share, isBackup } = candidate;
    return [
      endpoint === pick ? '*' : ' ',
      endpoint,
      `${state}${isBackup ? ' backup' : ''}`,
      `weight ${weight}`,
      `${inFlight} in flight`,
      score === null ? '' : `score ${score.toPrecision(3)}`,
      share === null ? '' : `share ${Math.round(share * 100)}%`,
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
