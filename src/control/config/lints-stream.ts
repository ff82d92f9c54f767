/** Lints of what carries bytes as they are. */
import { isByName } from '../../state/plan.ts';
import type { LintInput, Warn } from './lints.ts';
import { ROUTES_COMPARED_MAX } from './precedence.ts';
import { compareStreams, coversStream, streamsMayTie } from './precedence-stream.ts';

export function lintStreams(input: LintInput, warn: Warn): void {
  const { plan, config } = input;
  plan.listeners.forEach((listener) => {
    const { name, protocol, streams, proxyProtocol } = listener;
    const path = ['listeners', name];
    if (proxyProtocol?.from.some(({ bits }) => bits === 0))
      warn(
        [...path, 'proxyProtocol', 'from'],
        'trusts-everyone',
        `listener ${name} believes the PROXY line of everyone, so clients choose their own address`,
        'name the addresses of the balancer in front',
      );
    if ((protocol === 'tcp' || protocol === 'udp') && streams.length === 0)
      warn(
        path,
        'no-route',
        protocol === 'tcp'
          ? `listener ${name} resets every connection: nothing says where to`
          : `listener ${name} drops every datagram: nothing says where to`,
        'add to: and the name of a pool',
      );
    const looksAtTls = streams.some(isByName);
    if (protocol === 'tcp' && !looksAtTls && config.listeners[name].sniffTimeout !== undefined)
      warn(
        [...path, 'sniffTimeout'],
        'no-effect',
        `listener ${name}: sniffTimeout has no effect: no route of it looks at sni or alpn`,
      );
  });
  lintOrder(input, warn);
}

/** Streams that can never match, and ties, at each listener; one is told for each route. */
function lintOrder({ plan, streams, placeOf }: LintInput, warn: Warn): void {
  const told = new Set<number>();
  const pathOf = (origin: number) => ['routes', String(origin)];
  streams.forEach((written, index) => {
    if (written.length > ROUTES_COMPARED_MAX) return;
    const sorted = written.toSorted(compareStreams);
    sorted.forEach((b, later) => {
      for (const a of sorted.slice(0, later)) {
        if (a.origin === b.origin || told.has(b.origin)) continue;
        const also = { message: 'the other is at', place: placeOf(pathOf(a.origin)) };
        const where = plan.listeners[index].name;
        if (coversStream(a.plan, b.plan)) {
          told.add(b.origin);
          const message = `route ${b.plan.name} can never match at listener ${where}: ${a.plan.name} takes all its connections`;
          warn(pathOf(b.origin), 'route-shadowed', message, null, also);
        } else if (compareStreams(a, b) === 0 && streamsMayTie(a.plan, b.plan)) {
          told.add(b.origin);
          const message = `routes ${a.plan.name} and ${b.plan.name} are equally specific at listener ${where}; the first in the list wins`;
          warn(pathOf(b.origin), 'route-tie', message, 'say which with priority', also);
        }
      }
    });
  });
}
