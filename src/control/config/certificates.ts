/** Certificates: files that a config names and whose text goes into the plan, because workers and checks open no files. */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { type ConfigFault, faultAt } from './fault.ts';
import { errorWord } from './fill.ts';
import { childOf, type MapNode, type ScalarNode } from './node.ts';

/** Bytes of one file. The bundle of a system has a quarter of it. */
const FILE_BYTES_MAX = 1024 * 1024;
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * The certificates (PEM) of each pool's `health.active.tls.ca`, by the name of the pool. The value is a path, relative to the file it is written
 * in, or the PEM itself. What stands between certificates, a private key perhaps, is left out.
 */
export function readCertificates(
  root: MapNode,
  readFile: (path: string) => string,
  seen: string[],
  faults: ConfigFault[],
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const read = new Map<string, string | null>();
  const pools = childOf(root, 'pools');
  if (pools?.kind !== 'map') return found;
  for (const { key, value } of pools.entries) {
    const node = childOf(childOf(childOf(childOf(value, 'health'), 'active'), 'tls'), 'ca');
    if (node?.kind !== 'scalar' || typeof node.value !== 'string' || node.value === '') continue;
    const isText = node.value.includes('-----BEGIN');
    const full = isText ? node.value : resolve(dirname(resolve(node.source.file)), node.value);
    if (!read.has(full)) {
      if (!isText && !seen.includes(full)) seen.push(full);
      const why = (code: 'no-such-file' | 'bad-value', message: string) =>
        faults.push(faultAt(node, code, message, { path: ['pools', key, 'health', 'active', 'tls', 'ca'] }));
      read.set(full, readOne(isText ? null : full, node, readFile, why));
    }
    const text = read.get(full);
    if (text) found.set(key, text);
  }
  return found;
}

function readOne(
  path: string | null,
  node: ScalarNode,
  readFile: (path: string) => string,
  why: (code: 'no-such-file' | 'bad-value', message: string) => void,
): string | null {
  // What came from the environment is not quoted.
  const name = node.raw ?? (path === null ? 'this text' : String(node.value));
  let text = String(node.value);
  if (path !== null) {
    try {
      text = readFile(path);
    } catch (error) {
      why('no-such-file', `${name} cannot be read: ${errorWord(error)}`);
      return null;
    }
  }
  const blocks = text.length > FILE_BYTES_MAX ? [] : (text.match(BLOCK) ?? []);
  if (blocks.length === 0) {
    why('bad-value', `${name} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)`);
    return null;
  }
  for (let i = 0; i < blocks.length; i++) {
    try {
      new X509Certificate(blocks[i]);
    } catch {
      why('bad-value', `certificate ${i + 1} in ${name} is damaged`);
      return null;
    }
  }
  return `${blocks.join('\n')}\n`;
}
