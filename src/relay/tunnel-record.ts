/** What the access log says of a finished connection. */
import { protocol } from '../state/doors.ts';
import type { LogRecord } from './log-record.ts';
import type { Tunnel } from './tunnel.ts';

/** Fills in a record of anything. `id`: as relay makes it of the tunnel's number; `wallMs`: ms since 1970, now. */
export function fillTunnelRecord(tunnel: Tunnel, r: LogRecord, id: string, wallMs: number): LogRecord {
  const { client, endedMs, connectedMs, firstByteMs } = tunnel;
  r.reset();
  r.timeMs = wallMs - (endedMs - client.startedMs);
  r.id = id;
  r.listener = tunnel.listener.plan.name;
  r.route = tunnel.route.plan.name;
  r.pool = tunnel.pool!.plan.name;
  r.endpoint = tunnel.endpointText;
  r.client = client.address.textWithPort;
  if (!client.peer.equals(client.address)) r.peer = client.peer.textWithPort;
  r.epoch = tunnel.runtime.plan.epoch;
  r.protocol = protocol.tcp;
  r.tls = client.tls;
  r.serverName = client.serverName;
  r.bytesIn = tunnel.bytesIn;
  r.bytesOut = tunnel.bytesOut;
  r.faultId = tunnel.faultId;
  r.totalMs = endedMs - client.startedMs;
  if (tunnel.wasQueued) r.queueMs = tunnel.queuedMs;
  if (connectedMs > 0) r.connectMs = connectedMs - tunnel.attemptMs;
  if (firstByteMs > 0) r.firstMs = firstByteMs - connectedMs;
  return r;
}
