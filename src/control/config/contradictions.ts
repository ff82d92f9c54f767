/**
 * Contradictions: keys of one map that cannot stand together, or not alone. Works on the tree, so that these errors come together with those of the
 * schema, however broken the rest is; what the schema refuses is not judged here again.
 */
import { limitProblem } from '../../state/limits.ts';
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { childOf, type Entry, entryOf, itemsOf, type MapNode, type Node, textOf } from './node.ts';
import { type CheckType, checkTypes, keysOfTypes } from './schema-check.ts';
import { orText } from './shape.ts';
import type { Place } from './source.ts';
import { burstOf, readDuration, readRate } from './units.ts';

export function checkContradictions(root: MapNode, faults: ConfigFault[]): void {
  const report: Report = (place, code, message, path, help = null) => faults.push(faultAt(place, code, message, { help, path }));
  for (const { key, value } of entriesOf(childOf(root, 'pools'))) {
    const path = ['pools', key];
    const health = childOf(value, 'health');
    checkActive(childOf(health, 'active'), [...path, 'health', 'active'], report);
    checkPassive(childOf(health, 'passive'), [...path, 'health', 'passive'], report);
    checkCookie(childOf(value, 'sticky'), [...path, 'sticky'], report);
  }
  for (const { key, value } of entriesOf(childOf(root, 'filters')))
    checkRateLimit(childOf(value, 'rateLimit'), ['filters', key, 'rateLimit'], report);
}

type Report = (place: Place, code: FaultCode, message: string, path: readonly string[], help?: string | null) => void;

function entriesOf(node: Node | undefined): readonly Entry[] {
  return node?.kind === 'map' ? node.entries : [];
}

function checkActive(active: Node | undefined, path: readonly string[], report: Report): void {
  if (active?.kind !== 'map') return;
  const written = childOf(active, 'type');
  const type = written === undefined ? 'http' : textOf(written);
  if (type === undefined || !(checkTypes as readonly string[]).includes(type)) return;
  const where = path.join('.');
  for (const { key, keyPlace } of active.entries) {
    const types = Object.hasOwn(keysOfTypes, key) ? keysOfTypes[key] : null;
    if (types === null || types.includes(type as CheckType)) continue;
    const message = `${where}: ${key} does not go with type: ${type}${written === undefined ? ', which is the default' : ''}`;
    report(keyPlace, 'contradiction', message, [...path, key], `${key} belongs to type: ${orText(types)}`);
  }
  if (type === 'exec') {
    const command = childOf(active, 'command');
    if (command === undefined)
      report(active, 'missing-key', `${where} needs command`, path, 'command: [/usr/local/bin/check, …]');
    const program = itemsOf(command)[0];
    const name = textOf(program);
    if (program !== undefined && name !== undefined && !/^\/\S*$/.test(name))
      report(
        program,
        'bad-value',
        `${where}.command: expected a program by its absolute path`,
        [...path, 'command'],
        /^\/.*\s/.test(name) ? 'no shell takes it apart: write a list, [/program, argument, …]' : 'no PATH is searched',
      );
  }
  const body = entryOf(childOf(active, 'expect'), 'body');
  if (body !== undefined && textOf(childOf(active, 'method')) === 'HEAD')
    report(body.keyPlace, 'contradiction', `${where}: an answer to HEAD has no body`, [...path, 'expect', 'body']);
}

function checkPassive(passive: Node | undefined, path: readonly string[], report: Report): void {
  const longest = childOf(passive, 'maxEjectFor');
  const [max, first] = [longest, childOf(passive, 'ejectFor')].map((node) => readDuration(textOf(node) ?? ''));
  if (longest !== undefined && max.ok && first.ok && max.value > 0 && max.value < first.value)
    report(longest, 'contradiction', `${path.join('.')}: maxEjectFor is shorter than ejectFor`, [...path, 'maxEjectFor']);
}

/** Cookies that browsers drop (RFC 6265bis §5.7). */
function checkCookie(sticky: Node | undefined, path: readonly string[], report: Report): void {
  const cookie = childOf(sticky, 'cookie');
  const isSecure = scalarOf(childOf(cookie, 'secure')) === true;
  const sameSite = childOf(cookie, 'sameSite');
  const where = `${path.join('.')}.cookie`;
  if (sameSite !== undefined && textOf(sameSite) === 'none' && !isSecure)
    report(
      sameSite,
      'contradiction',
      `${where}: browsers drop a cookie with sameSite: none that is not secure`,
      [...path, 'cookie', 'sameSite'],
      'add secure: true',
    );
  const name = [sticky, cookie, childOf(cookie, 'name')].find((node) => textOf(node) !== undefined);
  const prefix = /^__(?:Host|Secure)-/i.exec(textOf(name) ?? '')?.[0];
  if (name === undefined || prefix === undefined) return;
  const isHost = prefix.toLowerCase() === '__host-';
  const wantsMore =
    !isSecure || (isHost && (entryOf(cookie, 'domain') !== undefined || (textOf(childOf(cookie, 'path')) ?? '/') !== '/'));
  if (wantsMore)
    report(
      name,
      'contradiction',
      `${where}: browsers drop a cookie named ${prefix}… that is not secure${isHost ? ', or has a domain or another path than /' : ''}`,
      [...path, 'cookie', 'name'],
      isSecure ? null : 'add secure: true',
    );
}

function checkRateLimit(limit: Node | undefined, path: readonly string[], report: Report): void {
  const rate = limit?.kind === 'map' ? childOf(limit, 'rate') : limit;
  const isWindow = textOf(childOf(limit, 'algorithm')) === 'sliding-window';
  const burst = entryOf(limit, 'burst');
  if (burst !== undefined && isWindow)
    report(
      burst.keyPlace,
      'contradiction',
      `${path.join('.')}: a sliding window has no burst`,
      [...path, 'burst'],
      'burst belongs to algorithm: token-bucket',
    );
  const read = readRate(textOf(rate) ?? '');
  if (rate === undefined || !read.ok) return;
  const most = burst === undefined ? burstOf(read.value) : 1;
  const problem = limitProblem({ ...read.value, algorithm: isWindow ? 'sliding-window' : 'token-bucket', burst: most });
  if (problem !== null) report(rate, 'bad-value', `${path.join('.')}.rate: ${problem}`, [...path, 'rate']);
}

function scalarOf(node: Node | undefined): unknown {
  return node?.kind === 'scalar' ? node.value : undefined;
}
