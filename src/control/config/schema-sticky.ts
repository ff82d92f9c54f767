/** Schema of `sticky:`: the cookie by which a client stays with its endpoint. */
import { z } from 'zod';
import { isHostName } from './address.ts';
import { TOKEN } from './patterns.ts';
import { choice, either, shape, text, yes } from './shape.ts';
import { bad, good, type Read, readDuration } from './units.ts';

/** Fewer characters could be guessed. */
const SECRET_CHARS_MIN = 16;

const NAME_EXPECTED = 'expected the name of a cookie, for example weir-web';
const PATH_EXPECTED = 'expected a path, for example /';
const DOMAIN_EXPECTED = 'expected a domain, for example shop.example';
const SECRET_EXPECTED = `expected a text of at least ${SECRET_CHARS_MIN} characters`;

/** A token (RFC 6265 §4.1.1). */
const cookieName = text('Name of the cookie. Default weir- and the name of the pool.', NAME_EXPECTED, (value) =>
  TOKEN.test(value) && value.length <= 128 ? good(value) : bad(NAME_EXPECTED),
);

const cookie = shape(
  'The cookie. Its value says nothing to anybody without the secret, and cannot be made without it.',
  {
    name: cookieName.optional(),
    ttl: text(
      'How long browsers keep it, from the answer that set it. 0s: until they are closed. Default 0s.',
      'expected a duration with a unit, for example 1h; 0s for a session',
      readTtl,
      { pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$', examples: ['1h', '0s'] },
    ).optional(),
    path: text('Path attribute. Default /.', PATH_EXPECTED, readCookiePath).optional(),
    domain: text('Domain attribute. Default none: the host that was asked, alone.', DOMAIN_EXPECTED, readDomain).optional(),
    sameSite: either('SameSite attribute; false: none is sent. Default lax.', 'expected lax, strict, none or false', [
      choice('SameSite attribute.', ['lax', 'strict', 'none'], { foreign: { Lax: 'lax', Strict: 'strict', None: 'none' } }),
      z.literal(false),
    ]).optional(),
    secure: yes(
      'Secure attribute: browsers send it over https only. Default: when the request came by TLS that weir opened.',
    ).optional(),
    httpOnly: yes('HttpOnly attribute: scripts cannot read it. Default true.').optional(),
    secret: text(
      'What the values are made with, usually "${file:/run/secrets/x}": the same on all nodes. Default: a secret of this machine that lasts until it is started anew.',
      SECRET_EXPECTED,
      (value) =>
        value.length >= SECRET_CHARS_MIN ? good(value) : bad(SECRET_EXPECTED, 'openssl rand -base64 32 makes a good one'),
    ).optional(),
  },
  {
    foreign: {
      maxAge: 'ttl',
      'max-age': 'ttl',
      max_age: 'ttl',
      expires: 'ttl',
      maxlife: 'ttl',
      maxidle: 'ttl',
      httponly: 'httpOnly',
      samesite: 'sameSite',
      same_site: 'sameSite',
      key: 'secret',
      insert: 'name',
    },
  },
);

export const sticky = either(
  'A client stays with its endpoint by a cookie. Short form: the name of the cookie.',
  'expected true, the name of a cookie, or a map, for example { cookie: { name: shop, ttl: 1h } }',
  [
    z.literal(true).describe('With the defaults.'),
    cookieName,
    shape(
      'A client stays with its endpoint by a cookie.',
      { cookie: either('The cookie. Short form: its name.', NAME_EXPECTED, [cookieName, cookie]).optional() },
      {
        notYet: ['header', 'source', 'table', 'learn'],
        foreign: {
          name: 'cookie: { name: … }',
          ttl: 'cookie: { ttl: … }',
          secret: 'cookie: { secret: … }',
          secure: 'cookie: { secure: … }',
          sameSite: 'cookie: { sameSite: … }',
          httpOnly: 'cookie: { httpOnly: … }',
        },
      },
    ),
  ],
);

/** Max-Age counts whole seconds (RFC 6265 §4.1.1). */
function readTtl(value: string): Read<number> {
  const read = readDuration(value);
  return read.ok && read.value % 1000 !== 0 ? bad('a cookie lives for whole seconds') : read;
}

/** RFC 6265 §4.1.1: what has no end of its own and no control character. */
function readCookiePath(value: string): Read<string> {
  return /^\/[\x20-\x3a\x3c-\x7e]*$/.test(value) && !value.endsWith(' ') ? good(value) : bad(PATH_EXPECTED);
}

function readDomain(value: string): Read<string> {
  const bare = value.replace(/^\*?\./, '');
  if (isHostName(bare) && bare === value) return good(value);
  return bad(DOMAIN_EXPECTED, isHostName(bare) ? `did you mean ${bare}? All hosts below it are meant` : undefined);
}
