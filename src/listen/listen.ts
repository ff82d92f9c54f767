/**
 * listen: the addresses we accept on: connections, their limits and deadlines, and the requests that come in on them.
 *
 * It does not know: routes, pools, endpoints. A request is handed to the RequestTaker; what the client gets back arrives through the ClientStream.
 */
export { Clients } from './clients.ts';
export { Listener } from './listener.ts';
export type { ListenParts, RequestTaker } from './parts.ts';
export { UdpListener } from './udp-listener.ts';
