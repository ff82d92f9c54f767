/** Authorities: whom a pool's checks trust, from the files that `health.active.tls.ca` names. */
import { type ConfigFault, faultAt } from './fault.ts';
import { childOf, type MapNode } from './node.ts';
import { certificatesOf, type PemFiles, pemNode, readPem, type TellPem } from './pem.ts';

/** Their certificates (PEM) by the name of the pool. A file that several pools name is read once. */
export function readAuthorities(root: MapNode, files: PemFiles, faults: ConfigFault[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const read = new Map<string, string | null>();
  const pools = childOf(root, 'pools');
  if (pools?.kind !== 'map') return found;
  for (const { key, value } of pools.entries) {
    const node = pemNode(childOf(childOf(childOf(childOf(value, 'health'), 'active'), 'tls'), 'ca'));
    if (node === null) continue;
    const source = `${node.source.file}\0${node.value}`;
    if (!read.has(source)) {
      const path = ['pools', key, 'health', 'active', 'tls', 'ca'];
      const tell: TellPem = (code, message, help) => faults.push(faultAt(node, code, message, { path, help }));
      const pem = readPem(node, files, tell);
      const certificates = pem === null ? null : certificatesOf(pem, tell);
      read.set(source, certificates?.join('') ?? null);
    }
    const text = read.get(source);
    if (text) found.set(key, text);
  }
  return found;
}
