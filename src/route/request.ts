/**
 * A request head from text, for `weir explain`, the `tests:` of a configuration and unit tests. Off the hot path.
 */
import { FIELD_STRIDE, field, fieldIdOf, fieldNames, Head, method, methodNames, targetForm } from '../base/head.ts';
import { hopByHopFields } from '../base/hop-by-hop.ts';
import { underscoredField, underscores } from '../base/underscores.ts';

/** Room for what filters append. */
const APPEND_BYTES = 8192;
/**
 * Builds the head that `METHOD url` with these fields would decode to. `url` is absolute ("https://shop.example/a?b") or a path; with a path
 * the host comes from a `host` field. Text beyond ASCII goes out as UTF-8. `rule`: of {@link underscores}; whether it refuses the request is to be asked
 * before.
 */
export function headFromText(
  methodName: string,
  url: string,
  fields: readonly (readonly [string, string])[] = [],
  rule: number = underscores.allow,
): Head {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/is.exec(url);
  const rest = (absolute ? absolute[2]! : url).replace(/#.*$/s, '');
  const mark = rest.indexOf('?');
  const path = latin1Of(mark < 0 ? rest : rest.slice(0, mark)) || '/';
  const query = mark < 0 ? null : latin1Of(rest.slice(mark + 1));
  const host = fields.find(([name]) => name.toLowerCase() === 'host');
  const authority = latin1Of(absolute ? absolute[1]!.replace(/^.*@/, '') : (host?.[1] ?? ''));
  const lines = fields.map(([name, value]) => [latin1Of(name), latin1Of(value.trim())] as const);
  const removed = removedBy(lines);

  let size = methodName.length + path.length + (query?.length ?? 0) + authority.length + 16;
  for (const [name, value] of lines) size += name.length + value.length + 4;
  const head = new Head(new Uint8Array(size + APPEND_BYTES), fields.length);
  head.room = head.bytes.length;

  head.method = Math.max(method.OTHER, methodNames.indexOf(methodName));
  [head.methodStart, head.methodEnd] = put(head, methodName);
  put(head, ' ');
  [head.pathStart, head.pathEnd] = put(head, path);
  head.pathIsPlain = !/%|\/\/|\/\.|;|\\/.test(path);
  head.form = path === '*' ? targetForm.asterisk : targetForm.origin;
  if (query !== null) {
    put(head, '?');
    [head.queryStart, head.queryEnd] = put(head, query);
  }
  put(head, ' ');
  [head.authorityStart, head.authorityEnd] = put(head, authority);
  put(head, '\r\n');
  for (const [name, value] of lines) {
    const [nameStart, nameEnd] = put(head, name);
    put(head, ': ');
    const [valueStart, valueEnd] = put(head, value);
    put(head, '\r\n');
    const nameLower = name.toLowerCase();
    const id = fieldIdOf(nameLower);
    if (id === field.upgrade) {
      head.upgradeStart = valueStart;
      head.upgradeEnd = valueEnd;
    }
    const kept = name.includes('_') ? underscoredField(rule, id) : id;
    head.addField(removed.has(nameLower) ? field.removed : kept, nameStart, nameEnd, valueStart, valueEnd);
  }
  put(head, '\r\n');
  head.size = head.used;
  return head;
}

/** Names of what a codec takes out of a request with these fields: those of one hop, and those that Connection names (RFC 9110 §7.6.1). */
function removedBy(lines: readonly (readonly [string, string])[]): Set<string> {
  const removed = new Set(['host', ...hopByHopFields.map((id) => fieldNames[id]!)]);
  let hasBody = false;
  for (const [name, value] of lines) {
    const nameLower = name.toLowerCase();
    if (nameLower === 'connection') for (const option of value.split(',')) removed.add(option.trim().toLowerCase());
    else if (nameLower === 'transfer-encoding' || (nameLower === 'content-length' && Number(value) > 0)) hasBody = true;
  }
  // Without a body there is nothing to wait for.
  if (!hasBody) removed.add('expect');
  return removed;
}

/** All live fields of a head as pairs, for tests and explanations. */
export function liveFields(head: Head): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < head.count; i++) {
    if (head.fields[i * FIELD_STRIDE] !== field.removed) pairs.push([head.name(i), head.value(i)]);
  }
  return pairs;
}

function put(head: Head, text: string): [number, number] {
  const start = head.used;
  head.write(text);
  return [start, head.used];
}

function latin1Of(text: string): string {
  return Buffer.from(text).toString('latin1');
}
