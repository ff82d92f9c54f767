/** Schema of filters. */
import { fieldName, fieldValue, ranges } from './leaves.ts';
import { named, oneOrMany, shape } from './shape.ts';

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
      },
      { notYet: ['countries', 'hours', 'methods'] },
    ).optional(),
  },
  {
    notYet: [
      'rateLimit',
      'auth',
      'compress',
      'cache',
      'cors',
      'fault',
      'script',
      'decompress',
      'buffer',
      'concurrency',
      'waf',
      'bandwidth',
    ],
  },
);
