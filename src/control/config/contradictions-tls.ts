/** Contradictions between TLS and what stands beside it at a listener. Works on the tree, like contradictions.ts. */
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { type ListenerKind, listenerKindOf } from './kinds.ts';
import { childOf, entryOf, itemsOf, type MapNode, type Node, textOf } from './node.ts';
import type { Place } from './source.ts';

const WRITE_TLS = 'tls: true takes all certificates of the file, tls: { certificates: [shop] } those it names';
const WRITE_CERTIFICATES = 'certificates: { shop: { files: { certificate: shop.crt, key: shop.key } } }';
/** Protocols of requests that weir will speak one day. */
const alpnNotYet: readonly string[] = ['h2', 'h3'];

type Report = (place: Place, code: FaultCode, message: string, path: readonly string[], help?: string | null) => void;

export function checkTls(root: MapNode, isIncomplete: boolean, faults: ConfigFault[]): void {
  const report: Report = (place, code, message, path, help = null) => faults.push(faultAt(place, code, message, { help, path }));
  const certificates = childOf(root, 'certificates');
  const isNoneDefined =
    !isIncomplete && (certificates === undefined || (certificates.kind === 'map' && certificates.entries.length === 0));
  const listeners = childOf(root, 'listeners');
  for (const { key, value } of listeners?.kind === 'map' ? listeners.entries : []) {
    const path = ['listeners', key];
    const protocol = childOf(value, 'protocol');
    const kind = listenerKindOf(protocol);
    const tls = entryOf(value, 'tls');
    if (tls === undefined) {
      const handshakes = kind === 'udp' ? undefined : entryOf(childOf(value, 'limits'), 'handshakes');
      if (handshakes !== undefined)
        report(
          handshakes.keyPlace,
          'contradiction',
          `${path.join('.')}.limits: handshakes does not go without tls: here none is opened`,
          [...path, 'limits', 'handshakes'],
          'TLS that is passed on is limited by connections',
        );
      if (protocol !== undefined && textOf(protocol) === 'https')
        report(protocol, 'missing-key', `${path.join('.')} needs tls: https is HTTP in TLS`, path, WRITE_TLS);
      continue;
    }
    const node = tls.value;
    const named = certificateNames(node);
    if (isNoneDefined && named.length === 0 && kind !== 'udp')
      report(
        tls.keyPlace,
        'missing-key',
        `${path.join('.')}.tls: the config has no certificates`,
        [...path, 'tls'],
        WRITE_CERTIFICATES,
      );
    twice(named, [...path, 'tls', 'certificates'], 'certificate', report);
    if (kind === undefined) continue;
    if (kind === 'udp')
      report(
        tls.keyPlace,
        'contradiction',
        `${path.join('.')}: tls does not go with protocol: udp`,
        [...path, 'tls'],
        'tls belongs to protocol: https, tcp or auto; QUIC and DTLS pass as they are',
      );
    else checkAlpn(itemsOf(childOf(node, 'alpn')), kind, [...path, 'tls', 'alpn'], report);
    const redirect = entryOf(value, 'redirectToHttps');
    if (redirect?.value.kind === 'scalar' && redirect.value.value === true)
      report(
        redirect.keyPlace,
        'contradiction',
        `${path.join('.')}: redirectToHttps does not go with tls: who came by https would be sent in a circle`,
        [...path, 'redirectToHttps'],
        'it belongs to a listener without tls, for example on :80',
      );
  }
}

/** The names of certificates in any form of `tls`. */
export function certificateNames(tls: Node | undefined): readonly Node[] {
  const named = tls?.kind === 'map' ? itemsOf(childOf(tls, 'certificates')) : itemsOf(tls);
  return named.filter((node) => textOf(node) !== undefined);
}

function checkAlpn(items: readonly Node[], kind: ListenerKind, path: readonly string[], report: Report): void {
  twice(items, path, 'protocol', report);
  if (kind === 'tcp') return;
  for (const item of items) {
    const name = textOf(item);
    if (name === undefined || name === 'http/1.1') continue;
    const where = path.join('.');
    if (alpnNotYet.includes(name))
      report(item, 'not-yet', `${where}: '${name}' is not available yet in this version`, path, 'available is http/1.1');
    else
      report(
        item,
        'contradiction',
        `${where}: '${name}' does not go with requests`,
        path,
        'http/1.1 does; other protocols belong to protocol: tcp',
      );
  }
}

function twice(items: readonly Node[], path: readonly string[], what: string, report: Report): void {
  items.forEach((item, i) => {
    const name = textOf(item);
    if (name !== undefined && items.slice(0, i).some((other) => textOf(other) === name))
      report(item, 'defined-twice', `${path.join('.')}: ${what} ${name} is named twice`, path);
  });
}
