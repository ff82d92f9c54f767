/** A request's story as text. */
import { printableLines, sectionsOf } from './lines.ts';
import { type RequestStory, shortSpan } from './story.ts';
import { tlsFactsText } from './words.ts';

export function storyText(story: RequestStory): string {
  const { request, client, route, pool, listener, tls, limit, sticky, key, seconds, bytes } = story;
  const cut = request.isCut ? '…' : '';
  const what =
    request.method === null
      ? 'no request could be read'
      : `${request.method} ${request.scheme}://${request.host}${request.path}${cut}`;
  const { lines, section } = sectionsOf(`${story.id}${story.isIdCut ? '…' : ''}  ${story.startedAt}`);
  const port = client.port === null ? '' : ` port ${client.port}`;
  section('verdict', [story.verdict]);
  section('request', [`${what}  ${request.protocol}`]);
  section('client', [`${client.address}${port}${client.isTold ? ', the peer is trusted' : ''}`]);
  section('listener', [`${listener}  worker ${story.worker}, epoch ${story.epoch}`]);
  if (tls !== null) section('tls', [tlsFactsText(tls)]);
  if (route !== null) section('route', [`${route.name}  ${route.source}`]);
  if (limit !== null) section('limit', [limit]);
  if (pool !== null) section('pool', [poolText(pool, sticky, key)]);
  section(
    'timeline',
    story.timeline.map(({ at, text }) => `${shortSpan(at).padStart(7)}  ${text}`),
  );
  section('waited', spansText({ queue: seconds.queue, connection: seconds.connect, 'lost tries': seconds.lost }));
  section('bytes', [`${bytes.in} in, ${bytes.out} out (bodies)`]);
  return printableLines(lines);
}

/** "web  weir.yaml:8  3 in flight with this one". */
export function poolText(pool: NonNullable<RequestStory['pool']>, sticky: string | null, key: number | null): string {
  const facts = [
    pool.isFallback ? 'as a fallback' : '',
    pool.inFlight === null ? '' : `${pool.inFlight} in flight with this one`,
    sticky === null ? '' : `sticky: ${sticky}`,
    key === null ? '' : `key ${key.toString(16).padStart(8, '0')}`,
  ];
  return [`${pool.name}  ${pool.source}`, ...facts.filter((fact) => fact !== '')].join('  ');
}

/** One line of the times in seconds that are not 0, or no line. */
export function spansText(seconds: Readonly<Record<string, number>>): string[] {
  const spans = Object.entries(seconds).filter(([, span]) => span > 0);
  return spans.length === 0 ? [] : [spans.map(([name, span]) => `${name} ${shortSpan(span)}`).join(', ')];
}
