/** A connection's story as text. */
import { printableLines, sectionsOf } from './lines.ts';
import { shortSpan } from './story.ts';
import { type ConnectionStory, carriedText } from './story-connection.ts';
import { poolText, spansText } from './story-text.ts';

export function connectionStoryText(story: ConnectionStory): string {
  const { client, peer, serverName, alpn, tls, listener, route, pool, key, seconds } = story;
  const { lines, section } = sectionsOf(`${story.id}  ${story.startedAt}`);
  section('verdict', [story.verdict]);
  section('client', [`${placeText(client)}${peer === null ? '' : `, named by ${placeText(peer)}`}`]);
  if (tls !== null) section('tls', [`opened here: ${tls.version}, ${tls.cipher}${tls.isResumed ? ', resumed' : ''}`]);
  if (serverName !== null || alpn !== null)
    section('hello', [[serverName === null ? '' : `sni ${serverName}`, alpn === null ? '' : `alpn ${alpn}`].join('  ').trim()]);
  section('listener', [`${listener}  ${story.protocol}  worker ${story.worker}, epoch ${story.epoch}`]);
  if (route !== null) section('route', [`${route.name}  ${route.source}  ${route.match}`]);
  if (pool !== null) section('pool', [poolText(pool, null, key)]);
  section(
    'timeline',
    story.timeline.map(({ at, text }) => `${shortSpan(at).padStart(7)}  ${text}`),
  );
  const spent = { queue: seconds.queue, connect: seconds.connect ?? 0, 'first byte': seconds.first ?? 0 };
  section('waited', spansText(spent));
  section('bytes', [carriedText(story)]);
  return printableLines(lines);
}

function placeText({ address, port }: ConnectionStory['client']): string {
  return `${address}${port === null ? '' : ` port ${port}`}`;
}
