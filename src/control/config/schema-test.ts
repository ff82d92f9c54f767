/** Schema of `tests:`. */
import { readRange } from './address.ts';
import { poolName, readName } from './leaves.ts';
import { alpn, readServerName, SNI_EXPECTED } from './schema-stream.ts';
import { count, named, shape, text, words } from './shape.ts';
import { bad, good, type Read } from './units.ts';

export const test = shape(
  'A request, or a connection, and where it has to go; run by weir check. Exactly one of request and connect.',
  {
    request: text('Method and URL.', 'expected a request, for example GET https://shop.example/', readRequest).optional(),
    connect: text(
      'A connection to a listener with protocol tcp or auto, or datagrams to one with udp: its name.',
      'expected the name of a listener',
      readName,
    ).optional(),
    sni: text('connect: the name the TLS client asks for. Default none.', SNI_EXPECTED, (value) =>
      value.startsWith('*') ? bad(SNI_EXPECTED) : readServerName(value),
    ).optional(),
    alpn: alpn.describe('connect: protocols the TLS client offers. Default none.').optional(),
    headers: named('Header fields of the request.', words('Value.')).optional(),
    client: text('Address of the client. Default 192.0.2.1.', 'expected an address, for example 192.0.2.1', (value) =>
      value.includes('/') || value === 'private' || value === 'loopback' || value === 'all'
        ? bad('expected an address, for example 192.0.2.1')
        : readRange(value),
    ).optional(),
    listener: text(
      'Listener it comes in at. Default: the first that fits.',
      'expected the name of a listener',
      readName,
    ).optional(),
    expect: shape('What has to come out.', {
      route: words('Name of the route; none when no route may match.').optional(),
      pool: poolName.optional(),
      path: words('Path as the endpoint sees it.').optional(),
      status: count('Status, when weir answers by itself (redirect, respond, 404).', 100, 599).optional(),
      location: words('Location of a redirect.').optional(),
    }),
  },
);

/** "GET https://shop.example/a?b=1" taken apart. */
export function readRequest(value: string): Read<{ method: string; url: URL; target: string }> {
  const found = /^(?:([A-Za-z]+) )?(https?:\/\/[^/?#\s]+)(\S*)$/.exec(value);
  const url = found ? URL.parse(found[2]) : null;
  if (!found || url === null)
    return bad(
      'expected a request, for example GET https://shop.example/',
      value.includes('://') ? undefined : 'write the URL in full',
    );
  const rest = found[3].replace(/#.*$/, '');
  return good({ method: found[1] ?? 'GET', url, target: rest.startsWith('/') ? rest : `/${rest}` });
}
