/** Schema of listeners. */
import { listen, ranges, size, span, to } from './leaves.ts';
import { readFieldName } from './patterns.ts';
import { acceptProxyProtocol, sniffTimeout, streamTimeoutFields, streamTimeoutWords, udp } from './schema-stream.ts';
import { tls } from './schema-tls.ts';
import { choice, count, oneOrMany, shape, text, yes } from './shape.ts';
import { BYTE_RATE_EXPECTED, readByteRate } from './units.ts';

export const listenerTimeoutFields = {
  header: span('First byte of a request (or the connection) to the end of its head. Default 10s.').optional(),
  idle: span(
    'Between two requests on a client connection. Default 60s. tcp: no byte in either direction; default 1h.',
  ).optional(),
  body: span('No progress while a request body is under way. Default 30s.').optional(),
};

const listenerLimits = shape(
  'Limits of one listener.',
  {
    headerSize: size('Whole request head. Default 32KiB.', 256, 1024 * 1024).optional(),
    fieldSize: size('One header field. Default 16KiB.', 64, 1024 * 1024).optional(),
    fields: count('Header fields of a request. Default 100.', 1, 10_000).optional(),
    targetSize: size('Request target (path and query). Default 8KiB.', 16, 1024 * 1024).optional(),
    bodySize: size('Request body; 0B: no limit. Default 0B.').optional(),
    chunkExtensions: size('Chunk extensions of one body, in all. Default 4KiB.', 0, 1024 * 1024).optional(),
    connections: count('Client connections per worker; 0: only the limit of the process. Default 0.', 0, 10_000_000).optional(),
    connectionsPerIp: count('Client connections per address and worker; 0: no limit. Default 256.', 0, 10_000_000).optional(),
    handshakes: count('TLS handshakes under way at a time, per worker; 0: no limit. Default 1024.', 0, 10_000_000).optional(),
    requestsPerConnection: count('Requests on one connection before it is closed. Default 10000.', 1, 1_000_000_000).optional(),
    bufferSize: size(
      'Bytes held back for one slow reader, each direction. Default 256KiB.',
      16 * 1024,
      64 * 1024 * 1024,
    ).optional(),
    pipeline: count('Requests taken ahead of the answer on one connection. Default 8.', 1, 1000).optional(),
    minRate: text(
      'Bytes a second that a body or a reader must make; 0B/s: none. Default 240B/s.',
      BYTE_RATE_EXPECTED,
      readByteRate,
      { examples: ['240B/s'] },
    ).optional(),
    minRateAfter: span('Grace before minRate counts. Default 10s.').optional(),
  },
  {
    notYet: ['streamsPerConnection', 'handshakesPerSecond', 'connectionsPerSecond'],
    foreign: {
      headers: 'fields',
      maxconn: 'connections',
      maxsslconn: 'handshakes',
      maxHeaderSize: 'headerSize',
    },
  },
);

export const listener = shape(
  'An address that clients connect to.',
  {
    listen: oneOrMany('Addresses to listen on.', listen),
    to: to.describe('Where requests go that no route matches; with tcp, auto and udp: connections, or clients.').optional(),
    protocol: choice(
      'http: requests. https: the same in TLS, which needs tls. tcp: connections, passed on as they are. udp: datagrams. auto: HTTP as http; TLS and all else as tcp. Default http.',
      ['http', 'https', 'tcp', 'udp', 'auto'],
      {
        notYet: ['h2c', 'http3', 'h2', 'grpc', 'quic'],
        foreign: {
          HTTP: 'http',
          'http/1.1': 'http',
          http1: 'http',
          TCP: 'tcp',
          UDP: 'udp',
          stream: 'tcp',
          tcp_proxy: 'tcp',
          udp_proxy: 'udp',
          HTTPS: 'https',
          tls: 'https or tcp, with tls: … to open it here',
          ssl: 'https or tcp, with tls: … to open it here',
          'tcp+udp': 'tcp, and a second listener with udp on the same address',
          passthrough: 'tcp',
          sniff: 'auto',
          mixed: 'auto',
          dns: 'udp',
        },
      },
    ).optional(),
    tls: tls.optional(),
    proxyProtocol: acceptProxyProtocol.optional(),
    sniffTimeout: sniffTimeout.optional(),
    udp: udp.optional(),
    redirectToHttps: yes('Answer every request with a redirect to https. Default false.').optional(),
    clientIp: shape('How the address of the client is found behind another balancer.', {
      trust: ranges('Peers whose forwarded header is believed. Default none.').optional(),
      header: text('Field the address is in. Default x-forwarded-for.', 'expected a header field name', readFieldName).optional(),
    }).optional(),
    limits: listenerLimits.optional(),
    timeouts: shape(
      'Timeouts on the side of the client; of connections that are passed on as they are, all of them.',
      {
        ...listenerTimeoutFields,
        ...streamTimeoutFields,
        connect: span('tcp: connecting to an endpoint. Default 1s.').optional(),
      },
      { foreign: streamTimeoutWords },
    ).optional(),
    underscores: choice(
      'Header fields with _ in their name: dropped, as Transfer_Encoding and the like confuse CGI programs. Default drop.',
      ['drop', 'allow', 'reject'],
    ).optional(),
  },
  {
    notYet: ['http3', 'h2', 'http2', 'use', 'altSvc', 'steer', 'xdp', 'transparent'],
    foreign: {
      mode: 'protocol',
      maxconn: 'limits: { connections: … }',
      limit_conn: 'limits: { connectionsPerIp: … }',
      connection_limit: 'limits: { connections: … }',
      ssl: 'tls',
      https: 'tls',
      certificates: 'tls: { certificates: … }',
      ssl_certificate: 'tls: { certificates: … }',
      crt: 'tls: { certificates: … }',
      proxy_protocol: 'proxyProtocol',
      proxyprotocol: 'proxyProtocol',
      'accept-proxy': 'proxyProtocol: { accept: required, from: … }',
      acceptProxy: 'proxyProtocol: { accept: required, from: … }',
      tcp_proxy: 'protocol: tcp',
      udp_proxy: 'protocol: udp',
      ssl_preread: 'routes with sni',
      sni: 'routes with sni',
      alpn: 'routes with alpn',
      preread_timeout: 'sniffTimeout',
      'inspect-delay': 'sniffTimeout',
      listener_filters_timeout: 'sniffTimeout',
      idle_timeout: 'timeouts: { idle: … }',
      proxy_timeout: 'timeouts: { idle: … }, or udp: { idle: … }',
      proxy_responses: 'udp: { responses: … }',
    },
  },
);
