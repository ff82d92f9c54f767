/** What an endpoint is told of a connection ahead of its bytes: the line of the PROXY protocol. */
import type { Blocks } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { StreamClient } from '../base/stream-client.ts';
import type { Wire } from '../base/wire.ts';
import { sendProxyLine } from '../upstream/upstream.ts';

const asked = new ClientAddress();
const facts = { authority: '', alpn: '', isSecure: false };

/** Sends the line of this version, the first bytes on the wire. False: there is no block for it. */
export function sendLineAhead(blocks: Blocks, version: number, client: StreamClient, to: Wire): boolean {
  let { destination } = client;
  if (destination.family === 0) {
    destination = asked;
    destination.set(client.wire.local());
  }
  facts.authority = client.serverName;
  facts.alpn = client.alpn;
  // TLS that passes through unopened is between the client and the endpoint.
  facts.isSecure = client.tls !== null;
  return sendProxyLine(blocks, to, version, client.address, destination, facts);
}
