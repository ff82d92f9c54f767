/** Schema of health checks. */
import { z } from 'zod';
import { fieldValue, percent, readCheckPath, span } from './leaves.ts';
import { readMethod } from './patterns.ts';
import { choice, count, either, named, shape, text, words } from './shape.ts';
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

export const ACTIVE_EXPECTED = 'expected a path to ask for (/healthz), tcp, or a map';
export const active = either('Active checks. Short form: the path to ask for, or tcp.', ACTIVE_EXPECTED, [
  text('Path to ask for, or tcp.', ACTIVE_EXPECTED, readActive, { examples: ['/healthz', 'tcp'] }),
  shape(
    'Active checks: weir asks each endpoint by itself.',
    {
      type: choice('What is asked. Default http.', ['http', 'tcp'], {
        notYet: ['grpc', 'https', 'exec', 'redis', 'mysql', 'postgres', 'tls'],
      }).optional(),
      path: text('Path that is asked for. Default /.', 'expected a path, for example /healthz', readCheckPath).optional(),
      method: text('Method. Default GET.', 'expected a method, for example GET', readMethod).optional(),
      host: words('Host that is asked for. Default: the address of the endpoint.').optional(),
      headers: named('Header fields that are sent.', fieldValue('Value.')).optional(),
      expect: shape('What a good answer is.', {
        status: either('Statuses that pass. Default 200-399.', 'expected a status or a range, for example 200 or 200-399', [
          ...statusRange.options,
          z.array(statusRange).min(1),
        ]).optional(),
        body: words('Text that the body has to contain.').optional(),
      }).optional(),
      interval: span('Time between two checks of one endpoint. Default 2s.').optional(),
      timeout: span('Limit for one check. Default 1s.').optional(),
      rise: count('Passes in a row that bring an endpoint back. Default 2.', 1, 1000).optional(),
      fall: count('Failures in a row that take an endpoint out. Default 3.', 1, 1000).optional(),
      jitter: percent('Spread of the interval. Default 10%.').optional(),
      port: count('Another port than that of the endpoint.', 1, 65535).optional(),
    },
    {
      notYet: ['tls', 'grpc', 'send', 'exec', 'unhealthyInterval'],
      foreign: {
        uri: 'path',
        url: 'path',
        inter: 'interval',
        every: 'interval',
        healthyThreshold: 'rise',
        unhealthyThreshold: 'fall',
        passes: 'rise',
        fails: 'fall',
      },
    },
  ),
]);

export function readActive(value: string): Read<string> {
  if (value === 'tcp') return good(value);
  return value.startsWith('/') ? readCheckPath(value) : bad(ACTIVE_EXPECTED);
}
