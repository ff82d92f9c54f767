/** What the access log says of a finished exchange. */
import type { ExchangeState } from './exchange-state.ts';
import type { LogRecord } from './log-record.ts';

/** Fills in what is known at the end; the request's own ranges and failed tries stand in the record already. `wallMs`: ms since 1970, now. */
export function fillRecord(e: ExchangeState, wallMs: number): LogRecord {
  const { record: r, facts, client } = e;
  r.timeMs = wallMs - (e.endedMs - e.startedMs);
  r.id = facts.id;
  r.listener = facts.listener;
  r.route = facts.route;
  r.pool = facts.pool;
  r.endpoint = facts.endpoint;
  r.limit = facts.limit;
  r.client = withPort(facts.client, facts.clientPort);
  if (r.peer === '' && facts.peer !== facts.client) r.peer = facts.peer;
  r.epoch = e.runtime!.plan.epoch;
  r.protocol = e.protocol;
  r.status = e.status;
  r.upstreamStatus = e.upstreamStatus;
  r.bytesIn = e.bytesIn;
  r.bytesOut = e.bytesOut;
  if (client !== null) r.idleMs = client.idleMs;
  r.headMs = e.beganMs - e.startedMs;
  r.faultId = e.faultId;
  r.isReused = e.isReused;
  r.totalMs = e.endedMs - e.startedMs;
  if (e.wasQueued) r.queueMs = e.queuedMs;
  if (e.attempts > 0) {
    r.sticky = e.sticky;
    r.connectMs = e.waitedMs;
    r.overheadMs = e.overheadMs;
  }
  if (e.headMs > 0) {
    r.firstMs = e.headMs - e.leasedMs;
    r.bodyMs = e.endedMs - e.headMs;
  }
  return r;
}

function withPort(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
