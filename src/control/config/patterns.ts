/** What routes match: hosts, paths, methods and field values, from text to the plan's form. */

import { checkTemplate } from '../../filter/filter.ts';
import type { PathMatchPlan, RouteMatchPlan, TextMatchPlan } from '../../state/plan.ts';
import { isHostName } from './address.ts';
import { regexFault } from './linear.ts';
import { bad, good, type Read } from './units.ts';

export const HOST_EXPECTED = 'expected a host, for example shop.example or *.shop.example';
export const PATH_EXPECTED = 'expected a path, for example /login, /api/*, /users/{id} or ~/v[0-9]+/.*';
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export function readHost(text: string): Read<RouteMatchPlan['host']> {
  if (text === '*') return good(null);
  const wildcard = text.startsWith('*.');
  const host = (wildcard ? text.slice(2) : text).toLowerCase().replace(/\.$/, '');
  if (/^[^:]+:[0-9]+$/.test(host))
    return bad('a host is written without its port', `did you mean ${text.replace(/:[0-9]+$/, '')}?`);
  const url = /^https?:\/\/([^/:]+)/.exec(host);
  if (url) return bad(HOST_EXPECTED, `did you mean ${url[1]}?`);
  const isLiteral = /^[0-9.]+$/.test(host) || /^\[[0-9a-f:.]+\]$/.test(host);
  if (!isHostName(host) && !(isLiteral && !wildcard)) {
    if (/[^\x00-\x7f]/.test(host)) return bad('a host is written in ASCII, as it is sent (xn--…)');
    return bad(HOST_EXPECTED, host.includes('*') ? 'a * stands only in front: *.shop.example' : undefined);
  }
  return good({ value: host, wildcard });
}

/**
 * "/a" is exact, a last segment of * makes a prefix that ends at a slash, {id} or * between slashes is any one segment, "~re" is a
 * regular expression, and a lone * stands for every path.
 */
export function readPath(text: string): Read<PathMatchPlan> {
  if (text.startsWith('~')) {
    const why = regexFault(text.slice(1));
    return why === null ? good({ kind: 'regex', value: text.slice(1) }) : bad(why.message, why.help);
  }
  if (text === '*' || text === '/*') return good({ kind: 'any' });
  if (!text.startsWith('/')) return bad(PATH_EXPECTED, /^[\w*{]/.test(text) ? `did you mean /${text}?` : undefined);
  if (/[?#]/.test(text)) return bad('a path ends before ? and #', 'match parameters with query');
  if (/[\x00-\x20\x7f]/.test(text)) return bad('a path holds no spaces or control characters; write them as %20');
  const rest = text.endsWith('/*');
  const segments = (rest ? text.slice(0, -2) : text).slice(1).split('/');
  let isPlain = true;
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i];
    if (segment === '*' || /^\{[A-Za-z_][\w-]*\}$/.test(segment)) {
      segments[i] = '*';
      isPlain = false;
    } else if (/[*{}]/.test(segment)) {
      return bad('* and {name} stand for a whole segment', 'for a part of a segment use a regular expression: ~/…');
    } else if (segment === '.' || segment === '..') {
      return bad('a path holds no . or .. segments: they are taken out before routes are matched');
    }
  }
  if (!isPlain) return good({ kind: 'segments', segments, rest });
  return rest ? good({ kind: 'prefix', value: text.slice(0, -2) }) : good({ kind: 'exact', value: text });
}

/** "*" any value, "a*" prefix, "a*b" with runs, "~re" regular expression, else the exact value. */
export function readTextMatch(text: string): Read<TextMatchPlan> {
  if (text.startsWith('~')) {
    const why = regexFault(text.slice(1));
    return why === null ? good({ kind: 'regex', value: text.slice(1) }) : bad(why.message, why.help);
  }
  if (text === '*') return good({ kind: 'present' });
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) return bad('a value holds no control characters');
  const star = text.indexOf('*');
  if (star < 0) return good({ kind: 'exact', value: text });
  if (star === text.length - 1) return good({ kind: 'prefix', value: text.slice(0, -1) });
  return text.split('*').length > 5 ? bad('a value holds 4 * at most') : good({ kind: 'glob', value: text });
}

export function readMethod(text: string): Read<string> {
  if (!TOKEN.test(text)) return bad('expected a method, for example GET');
  return text === text.toUpperCase() ? good(text) : bad('methods are upper-case', `did you mean ${text.toUpperCase()}?`);
}

export function readFieldName(text: string): Read<string> {
  if (TOKEN.test(text)) return good(text.toLowerCase());
  return bad('expected a header field name', text.endsWith(':') ? `did you mean ${text.slice(0, -1)}?` : undefined);
}

/** A header value, or another text with placeholders such as {client.ip}. */
export function readTemplate(text: string): Read<string> {
  const wrong = checkTemplate(text);
  return wrong === null ? good(text) : bad(wrong);
}
