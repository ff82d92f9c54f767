/** The PROXY line towards an endpoint: what it is told of a client, ahead of all that is the client's. */
import { type Blocks, NO_BLOCK } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import type { Wire } from '../base/wire.ts';
import { type ProxyLineFacts, writeProxyLine } from '../protocol/proxy-line/proxy-line.ts';

/** Sends a line of this version, which has to be the first that is sent on the wire. False: there is no block for it. */
export function sendProxyLine(
  blocks: Blocks,
  to: Wire,
  version: number,
  client: ClientAddress,
  destination: ClientAddress,
  facts: ProxyLineFacts,
): boolean {
  const block = blocks.takeSmall();
  if (block === NO_BLOCK) return false;
  const start = blocks.start(block);
  to.send(block, start, writeProxyLine(blocks.bytes, start, version, client, destination, facts));
  blocks.release(block);
  return true;
}
