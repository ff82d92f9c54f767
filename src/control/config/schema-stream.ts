/** Schema of what carries bytes as they are: keys of listeners, routes and pools for TCP and UDP. */
import { isHostName, readAddress } from './address.ts';
import { duration, ranges, span } from './leaves.ts';
import { choice, count, oneOrMany, shape, text, yes } from './shape.ts';
import { bad, good, type Read } from './units.ts';

export const SNI_EXPECTED = 'expected a name as TLS clients send it, for example shop.example or *.shop.example';
const ALPN_EXPECTED = 'expected the name of a protocol, for example h2 or http/1.1';
const ACCEPT_EXPECTED = 'expected a map that says who is believed, for example { accept: required, from: [10.0.0.0/8] }';
const SOURCE_EXPECTED = 'expected an IP address of this machine, for example 10.0.0.5 or 2001:db8::5';

/** Times that only streams have. `connect` and `idle` are theirs too, and have a meaning for requests as well. */
export const streamTimeoutFields = {
  total: duration('tcp: the whole connection. 0s: no limit. Default 0s.').optional(),
  halfClosed: span('tcp: no byte after one side has ended. Default 30s.').optional(),
};

/** Words of HAProxy, nginx and Envoy for the times of streams. */
export const streamTimeoutWords: Readonly<Record<string, string>> = Object.freeze({
  client: 'idle',
  server: 'idle',
  tunnel: 'idle',
  proxy_timeout: 'idle',
  idle_timeout: 'idle',
  'client-fin': 'halfClosed',
  'server-fin': 'halfClosed',
  proxy_connect_timeout: 'connect',
  connect_timeout: 'connect',
  max_downstream_connection_duration: 'total',
  max_connection_duration: 'total',
});

export const sniffTimeout = span(
  'auto, and tcp with routes by sni or alpn: how long the first bytes of a client are waited for. Who says nothing goes where to says. Default 5s.',
);

export const acceptProxyProtocol = shape(
  'PROXY protocol (v1 and v2) at the front of connections: who the client is, in the words of a balancer in front.',
  {
    accept: choice('required: who does not send it is refused. optional: a peer in from may do without it. Default required.', [
      'required',
      'optional',
    ]).optional(),
    from: ranges(
      'Peers that are believed. Others are refused where it is required; where it is optional they are clients like any other.',
    ),
  },
  {
    expected: ACCEPT_EXPECTED,
    help: acceptHelp,
    foreign: { trust: 'from', trustedIPs: 'from', trusted: 'from', insecure: 'from: all', mode: 'accept' },
  },
);

function acceptHelp(value: unknown): string | undefined {
  if (value === false) return undefined;
  return `say who is believed: { accept: ${value === 'optional' ? 'optional' : 'required'}, from: [10.0.0.0/8] }`;
}

export const udp = shape(
  'protocol udp: a client is remembered by its address and port, so that its datagrams keep going to the same endpoint.',
  {
    idle: span('A client without a datagram in either direction is forgotten after this. Default 30s.').optional(),
    responses: count(
      'Answers after which a client is forgotten at once: 1 for DNS. 0: as many as come. Default 0.',
      0,
      1_000_000,
    ).optional(),
    sessions: count('Clients remembered per worker. Default 65536.', 1, 1_000_000).optional(),
    sessionsPerIp: count('Of one address, per worker; 0: no limit. Default 1024.', 0, 1_000_000).optional(),
    whenFull: choice(
      'When sessions is reached: the client that was idle longest is forgotten, or the new one is refused. Default oldest.',
      ['oldest', 'refuse'],
      { foreign: { evict: 'oldest', lru: 'oldest', drop: 'refuse', reject: 'refuse' } },
    ).optional(),
  },
  {
    foreign: {
      timeout: 'idle',
      proxy_timeout: 'idle',
      idle_timeout: 'idle',
      proxy_responses: 'responses',
      max: 'sessions',
      maxSessions: 'sessions',
      perIp: 'sessionsPerIp',
    },
  },
);

export const sni = oneOrMany(
  'TLS connections that ask for this name (SNI), passed through as they are: shop.example, *.shop.example.',
  text('Name.', SNI_EXPECTED, readServerName, { examples: ['shop.example', '*.shop.example'] }),
);

export const alpn = oneOrMany(
  'TLS connections that offer one of these protocols (ALPN), passed through as they are.',
  text('Protocol.', ALPN_EXPECTED, readAlpn, { examples: ['h2', 'http/1.1', 'imap'] }),
);

/** What is sent and matched has no trailing dot and is no address (RFC 6066 §3). */
export function readServerName(value: string): Read<{ value: string; wildcard: boolean }> {
  const wildcard = value.startsWith('*.');
  const name = (wildcard ? value.slice(2) : value).toLowerCase().replace(/\.$/, '');
  // A map of nginx ends with `default`.
  if (value === '*' || value === 'default') return bad('any name, and none, is meant when sni is left out');
  if (value.startsWith('~'))
    return bad('a name is no regular expression', 'write each name, or *.shop.example for all below one');
  if (/^\.[^.*]/.test(value)) return bad(SNI_EXPECTED, `did you mean [${value.slice(1)}, "*${value}"]?`);
  if (/^[^:]+:[0-9]+$/.test(name))
    return bad('a name is written without a port', `did you mean ${value.replace(/:[0-9]+$/, '')}?`);
  const url = /^(?:https?|tls|tcp):\/\/([^/:]+)/.exec(name);
  if (url) return bad(SNI_EXPECTED, `did you mean ${url[1]}?`);
  if (/^[0-9.]+$/.test(name) || name.includes(':')) return bad('clients that connect to an address send no name');
  if (/[^\x00-\x7f]/.test(name)) return bad('a name is written in ASCII, as it is sent (xn--…)');
  if (!isHostName(name)) return bad(SNI_EXPECTED, name.includes('*') ? 'a * stands only in front: *.shop.example' : undefined);
  return good({ value: name, wildcard });
}

/** 1 to 255 bytes (RFC 7301 §3.1); the names that are registered are printable. */
export function readAlpn(value: string): Read<string> {
  return /^[\x21-\x7e]{1,255}$/.test(value) ? good(value) : bad(ALPN_EXPECTED);
}

export const sendProxyProtocol = choice(
  'PROXY protocol at the front of each connection to an endpoint, and of its checks: who the client is. Each request gets a connection of its own then. Default none.',
  ['v1', 'v2'],
  { foreign: { true: 'v2', on: 'v2', 'send-proxy': 'v1', 'send-proxy-v2': 'v2', '1': 'v1', '2': 'v2' } },
);

export const source = shape(
  'From which address endpoints are connected to. Default: the kernel chooses.',
  {
    addresses: oneOrMany(
      'Addresses of this machine, taken in turns. Each has ports of its own: about 28000 connections to one endpoint.',
      text('Address.', SOURCE_EXPECTED, readSource, { examples: ['10.0.0.5', '2001:db8::5'] }),
    ).optional(),
    transparent: yes(
      "tcp, udp: the client's own address (IP_TRANSPARENT, needs CAP_NET_ADMIN); answers have to be routed back to this machine. Default false.",
    ).optional(),
  },
  { foreign: { address: 'addresses', ip: 'addresses', usesrc: 'transparent', tproxy: 'transparent' } },
);

function readSource(value: string): Read<string> {
  const read = readAddress(value);
  if (read !== null) return good(read);
  const port = /^([0-9.]+|\[[0-9a-f:.]+\]):[0-9]+$/i.exec(value);
  return bad(SOURCE_EXPECTED, port ? `did you mean ${port[1].replace(/[[\]]/g, '')}?` : undefined);
}
