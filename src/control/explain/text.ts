/** An explanation as text. */
import type { Explanation, RouteStep } from './explain.ts';
import { printableLines, sectionsOf } from './lines.ts';
import { poolSections } from './pool-text.ts';

/** Routes that missed, shown in text; --json has all. */
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
  for (const step of explanation.passed) for (const [name, texts] of poolSections(step, true)) section(name, texts);
  if (pool !== null) for (const [name, texts] of poolSections(pool, false)) section(name, texts);
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
