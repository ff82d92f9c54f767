/** Schema of filters. */
import { BURST_MAX } from '../../state/limits.ts';
import { fieldName, fieldValue, mode, ranges } from './leaves.ts';
import { readTemplate } from './patterns.ts';
import { choice, count, either, named, oneOrMany, shape, text, yes } from './shape.ts';
import { RATE_EXPECTED, rateHelp, readRate } from './units.ts';

const headerEdit = shape(
  'Edits to a header.',
  {
    set: named(
      'Fields that replace all of their name.',
      fieldValue('Value; may hold {client.ip}, {request.id}, {request.host}, {request.path}, {request.header.NAME}.'),
    ).optional(),
    add: named('Fields that are added to those there.', fieldValue('Value; placeholders as in set.')).optional(),
    remove: oneOrMany('Fields that are taken out.', fieldName).optional(),
  },
  { foreign: { del: 'remove', delete: 'remove', unset: 'remove', append: 'add', replace: 'set' } },
);

const RATE_SHAPE = '^[1-9][0-9]*/(s|m|h)$';
const rate = text('Requests in a time.', RATE_EXPECTED, readRate, {
  pattern: RATE_SHAPE,
  examples: ['100/s', '10/m', '1000/h'],
  help: rateHelp,
});
const rateLimit = either('Requests of one client in a time. Short form: the rate.', RATE_EXPECTED, [
  rate,
  shape(
    'Requests of one client in a time, over all workers of this node. What is above is answered 429.',
    {
      rate,
      burst: count(
        'token-bucket: requests that may come at once. Default the rate of one second, at least 1.',
        1,
        BURST_MAX,
      ).optional(),
      key: text(
        'What tells clients apart. Default {client.ip}; without placeholders all are one. A request without the header that is named is told by its address.',
        'expected a text, for example {request.header.x-api-key}',
        readTemplate,
        { examples: ['{client.ip}', '{request.header.x-api-key}', '{client.ip} {request.path}'] },
      ).optional(),
      scope: choice('Whose requests are counted: those of this node. Default local.', ['local'], {
        notYet: ['cluster'],
        foreign: { global: 'cluster', node: 'local' },
      }).optional(),
      algorithm: choice('How is counted. Default token-bucket.', ['token-bucket', 'sliding-window'], {
        foreign: {
          'leaky-bucket': 'token-bucket',
          leaky_bucket: 'token-bucket',
          gcra: 'token-bucket',
          bucket: 'token-bucket',
          'fixed-window': 'sliding-window',
          window: 'sliding-window',
        },
      }).optional(),
      mode: mode.optional(),
      headers: yes('Tell clients: RateLimit and RateLimit-Policy fields. Default false.').optional(),
    },
    {
      notYet: ['status', 'exempt'],
      foreign: {
        average: 'rate',
        requests: 'rate',
        limit: 'rate',
        requests_per_unit: 'rate',
        tokens_per_fill: 'rate',
        period: 'rate: 100/m',
        per: 'rate: 100/m',
        unit: 'rate: 100/m',
        window: 'rate: 100/m',
        fill_interval: 'rate: 100/m',
        max_tokens: 'burst',
        by: 'key',
        zone: 'key',
        sourceCriterion: 'key',
        dryRun: 'mode: shadow',
        dry_run: 'mode: shadow',
        limit_req_dry_run: 'mode: shadow',
      },
    },
  ),
]);

export const filter = shape(
  'What is done to a request or response on the way.',
  {
    headers: shape(
      'Edits to headers.',
      { request: headerEdit.optional(), response: headerEdit.optional() },
      { foreign: { set: 'request: { set: … }', add: 'request: { add: … }', remove: 'request: { remove: … }' } },
    ).optional(),
    access: shape(
      'Who may pass. A client in deny is refused; when allow is there, so is one that is not in it.',
      {
        allow: ranges('Ranges that may pass.').optional(),
        deny: ranges('Ranges that may not.').optional(),
        mode: mode.optional(),
      },
      {
        notYet: ['countries', 'hours', 'methods'],
        foreign: { permit: 'allow', whitelist: 'allow', blacklist: 'deny', dryRun: 'mode' },
      },
    ).optional(),
    rateLimit: rateLimit.optional(),
  },
  {
    notYet: ['auth', 'compress', 'cache', 'cors', 'fault', 'script', 'decompress', 'buffer', 'concurrency', 'waf', 'bandwidth'],
    foreign: {
      limit_req: 'rateLimit',
      limitReq: 'rateLimit',
      local_rate_limit: 'rateLimit',
      throttle: 'rateLimit',
      ipAllowList: 'access: { allow: … }',
      ipWhiteList: 'access: { allow: … }',
      allow: 'access: { allow: … }',
      deny: 'access: { deny: … }',
    },
  },
);
