/** Schema of active checks: what weir asks endpoints, and how often. */
import { z } from 'zod';
import { isHostName } from './address.ts';
import { fieldValue, percent, readCheckPath, span } from './leaves.ts';
import { readMethod } from './patterns.ts';
import { choice, count, either, named, oneOrMany, shape, text, words, yes } from './shape.ts';
import { bad, good, type Read } from './units.ts';

const statusRange = either('Status or range of statuses.', 'expected a status or a range, for example 200 or 200-399', [
  count('Status.', 100, 599),
  text('Range of statuses.', 'expected a status or a range, for example 200 or 200-399', readStatusRange, {
    pattern: '^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$',
  }),
]);

/** "200-399" as [200, 399]. */
export function readStatusRange(value: string): Read<[number, number]> {
  const found = /^([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?$/.exec(value);
  if (!found)
    return bad(
      'expected a status or a range, for example 200 or 200-399',
      /^[1-5]xx$/i.test(value) ? `did you mean ${value[0]}00-${value[0]}99?` : undefined,
    );
  const low = Number(found[1]);
  const high = Number(found[2] ?? found[1]);
  return high >= low ? good([low, high]) : bad('the range ends before it begins', `did you mean ${high}-${low}?`);
}

export const checkTypes = ['http', 'https', 'tcp', 'grpc', 'redis', 'postgres', 'mysql', 'exec'] as const;
export type CheckType = (typeof checkTypes)[number];

/** Types that are asked without any more words. */
const shortTypes = ['tcp', 'grpc', 'redis', 'postgres', 'mysql'] as const;
export type ShortType = (typeof shortTypes)[number];

const foreignTypes: Readonly<Record<string, CheckType>> = {
  postgresql: 'postgres',
  pgsql: 'postgres',
  mariadb: 'mysql',
  valkey: 'redis',
  'redis-check': 'redis',
  'pgsql-check': 'postgres',
  'mysql-check': 'mysql',
  httpchk: 'http',
  'tcp-check': 'tcp',
  connect: 'tcp',
  'external-check': 'exec',
  external: 'exec',
  command: 'exec',
  script: 'exec',
};

/** Keys that belong to some types only; all other keys belong to every type. */
export const keysOfTypes: Readonly<Record<string, readonly CheckType[]>> = {
  path: ['http', 'https'],
  method: ['http', 'https'],
  headers: ['http', 'https'],
  expect: ['http', 'https'],
  host: ['http', 'https', 'grpc'],
  tls: ['http', 'https', 'grpc'],
  service: ['grpc'],
  command: ['exec'],
};

const tls = either(
  'TLS of the check; true: with the defaults.',
  'expected true or a map, for example { serverName: app.internal }',
  [
    z.literal(true),
    shape(
      'TLS of the check.',
      {
        serverName: text(
          'Name that is asked for and proved. Default: host, else the host of the address.',
          'expected a host name, for example app.internal',
          (value) => (isHostName(value) ? good(value) : bad('expected a host name, for example app.internal')),
        ).optional(),
        verify: yes('Does the certificate have to prove the name? Default true.').optional(),
        ca: text(
          'File with the certificates (PEM) of those who may issue it, read with the config. Default: those of the system.',
          'expected the path of a file',
          (value) => (value === '' ? bad('expected the path of a file') : good(value)),
        ).optional(),
      },
      {
        notYet: ['certificate', 'key', 'alpn', 'minVersion'],
        foreign: {
          sni: 'serverName',
          'check-sni': 'serverName',
          server_name: 'serverName',
          'ca-file': 'ca',
          caFile: 'ca',
          ca_file: 'ca',
          rootCAs: 'ca',
          insecureSkipVerify: 'verify: false',
          insecure: 'verify: false',
        },
      },
    ),
  ],
);

export const ACTIVE_EXPECTED = 'expected a path to ask for (/healthz), tcp, grpc, redis, postgres, mysql, or a map';
/** The short form, of `active` and of `health` itself. */
export const activeShort = text('Path to ask for, or tcp, grpc, redis, postgres, mysql.', ACTIVE_EXPECTED, readActive, {
  examples: ['/healthz', 'tcp', 'redis'],
});
export const active = either('Active checks. Short form: the path to ask for, or what is spoken.', ACTIVE_EXPECTED, [
  activeShort,
  shape(
    'Active checks: weir asks each endpoint by itself.',
    {
      type: choice(
        'What is asked. http, https: a request. tcp: a connection. grpc: grpc.health.v1. redis: PING. postgres, mysql: the greeting. exec: a command. Default http.',
        checkTypes,
        { notYet: ['tls', 'http3', 'udp', 'ldap', 'smtp'], foreign: foreignTypes },
      ).optional(),
      path: text('http: path that is asked for. Default /.', 'expected a path, for example /healthz', readCheckPath).optional(),
      method: text('http: method. Default GET.', 'expected a method, for example GET', readMethod).optional(),
      host: words('http, grpc: host that is asked for. Default: the address of the endpoint.').optional(),
      headers: named('http: header fields that are sent.', fieldValue('Value.')).optional(),
      expect: shape(
        'http: what a good answer is.',
        {
          status: either('Statuses that pass. Default 200-399.', 'expected a status or a range, for example 200 or 200-399', [
            ...statusRange.options,
            z.array(statusRange).min(1),
          ]).optional(),
          body: words('Text that the body has to contain.').optional(),
        },
        { foreign: { statuses: 'status', code: 'status', codes: 'status', string: 'body', match: 'body' } },
      ).optional(),
      tls: tls.optional(),
      service: text(
        'grpc: service that is asked for. Default: the server as a whole.',
        'expected the name of a gRPC service, for example orders.v1.Orders',
        (value) =>
          /^[\w.-]{0,200}$/.test(value) ? good(value) : bad('expected the name of a gRPC service, for example orders.v1.Orders'),
      ).optional(),
      command: oneOrMany(
        'exec: program by its absolute path, and its arguments. Exit code 0 passes. The address is in WEIR_ADDRESS, WEIR_HOST and WEIR_PORT; no shell.',
        text('Program or argument.', 'expected a text', (value) =>
          value.includes('\0') ? bad('an argument holds no NUL') : good(value),
        ),
      ).optional(),
      interval: span('Time between two checks of one endpoint. Default 2s.').optional(),
      fastInterval: span(
        'Interval while results differ from the state, until rise or fall is reached. Default a quarter of interval, at least 100ms.',
      ).optional(),
      idleInterval: span(
        'Interval while no request was sent to the endpoint since its last check. Default as interval; longer for many endpoints that are seldom asked.',
      ).optional(),
      timeout: span('Limit for one check. Default 1s.').optional(),
      rise: count('Passes in a row that bring an endpoint back. Default 2.', 1, 1000).optional(),
      fall: count('Failures in a row that take an endpoint out. Default 3.', 1, 1000).optional(),
      jitter: percent('Spread of the interval. Default 10%.').optional(),
      port: count('Another port than that of the endpoint.', 1, 65535).optional(),
    },
    {
      notYet: ['send'],
      foreign: {
        uri: 'path',
        url: 'path',
        inter: 'interval',
        every: 'interval',
        healthyThreshold: 'rise',
        unhealthyThreshold: 'fall',
        passes: 'rise',
        fails: 'fall',
        max_fails: 'fall',
        fastinter: 'fastInterval',
        downinter: 'fastInterval',
        unhealthyInterval: 'fastInterval',
        unhealthy_interval: 'fastInterval',
        no_traffic_interval: 'idleInterval',
        service_name: 'service',
        serviceName: 'service',
        serverName: 'tls: { serverName: … }',
        sni: 'tls: { serverName: … }',
        'check-sni': 'tls: { serverName: … }',
        'check-ssl': 'type: https',
        verify: 'tls: { verify: … }',
        ca: 'tls: { ca: … }',
        status: 'expect: { status: … }',
        expectedStatuses: 'expect: { status: … }',
        expected_statuses: 'expect: { status: … }',
        body: 'expect: { body: … }',
        exec: 'type: exec and command',
        grpc: 'type: grpc',
        jitterPercent: 'jitter',
        interval_jitter: 'jitter',
      },
    },
  ),
]);

export function readActive(value: string): Read<string> {
  if ((shortTypes as readonly string[]).includes(value)) return good(value);
  if (value.startsWith('/')) return readCheckPath(value);
  const meant = foreignTypes[value] ?? value;
  if (meant === 'https' || meant === 'exec' || meant === 'http')
    return bad(
      ACTIVE_EXPECTED,
      `did you mean { active: { type: ${meant}, ${meant === 'exec' ? 'command: [/…]' : 'path: /…'} } }?`,
    );
  return bad(ACTIVE_EXPECTED, meant === value ? undefined : `did you mean ${meant}?`);
}
