/** An explanation as text. */
import type { Explanation, RouteStep } from './explain.ts';
import { printableLines, sectionsOf } from './lines.ts';
import { poolSections } from './pool-text.ts';
import type { StreamExplanation } from './stream.ts';
import { tlsLines } from './tls.ts';

/** Routes that missed, shown in text; --json has all. */
const LINES_MAX = 20;

export function explanationText(explanation: Explanation | StreamExplanation): string {
  return 'connection' in explanation ? streamText(explanation) : requestText(explanation);
}

function streamText(explanation: StreamExplanation): string {
  const { connection, listener, preface, tls, routes, refused, sends, passed, pool, limits, note } = explanation;
  const { url, client, sni, alpn } = connection;
  const isTls = sni !== null || alpn.length > 0;
  const hello = isTls ? `, TLS${sni === null ? '' : ` for ${sni}`}${alpn.length === 0 ? '' : `, offers ${alpn.join(', ')}`}` : '';
  const { lines, section } = sectionsOf(`${url} from ${client}${hello}`);
  section('listener', [`${listener.name}  ${listener.addresses.join(' ')}  ${listener.protocol}  (${listener.why})`]);
  if (preface !== null) section('client', [preface]);
  if (tls !== null) section('tls', tlsLines(tls));
  if (tls?.verdict === 'opened' && listener.protocol === 'auto') section('inside', ['requests: ask https://HOST/PATH']);
  section('route', routeLines(routes));
  for (const step of passed) for (const [name, texts] of poolSections(step, true)) section(name, texts);
  if (pool !== null) for (const [name, texts] of poolSections(pool, false)) section(name, texts);
  if (sends !== null) section('sends', [sends]);
  if (limits !== null) section('limits', [limits.text]);
  if (refused !== null) section('refused', [`${refused.reason}: ${refused.detail}`]);
  if (note !== null) section('note', [note]);
  return printableLines(lines);
}

function requestText(explanation: Explanation): string {
  const { request, listener, client, tls, filters, rewrite, answer, pool, limits } = explanation;
  const { lines, section } = sectionsOf(`${request.method} ${request.url} from ${request.peer}`);
  section('listener', [`${listener.name}  ${listener.addresses.join(' ')}  ${listener.protocol}  (${listener.why})`]);
  if (client.from === 'field') section('client', [`${client.address}, as ${client.field} says; the peer is trusted`]);
  if (client.from === 'malformed field')
    section('client', [`${client.address}: ${client.field} of the trusted peer cannot be read`]);
  if (tls !== null) section('tls', tlsLines(tls));
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
