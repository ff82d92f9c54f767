/** What an endpoint is told of a client ahead of its bytes: the line of the PROXY protocol. */
import { type Blocks, NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { StreamClient } from '../base/stream-client.ts';
import type { Wire } from '../base/wire.ts';
import { type ProxyLineFacts, WRITE_BYTES_MAX, writeProxyLine } from '../protocol/proxy-line/proxy-line.ts';

const asked = new ClientAddress();
const facts: ProxyLineFacts = { authority: '', alpn: '', isSecure: false };

/** Sends the line of this version, the first bytes on the wire. False: there is no block for it. */
export function sendLineAhead(blocks: Blocks, version: number, client: StreamClient, to: Wire): boolean {
  const block = blocks.takeSmall();
  if (block === NO_BLOCK) return false;
  let { destination } = client;
  if (destination.family === 0) {
    destination = asked;
    destination.set(client.wire.local());
  }
  facts.authority = client.serverName;
  facts.alpn = client.alpn;
  const start = blocks.start(block);
  const room = blocks.bytes.subarray(start, start + WRITE_BYTES_MAX);
  const length = writeProxyLine(room, 0, version, client.address, destination, facts);
  to.send(block, start, start + length);
  blocks.release(block);
  return true;
}
