/**
 * http1-connection-time: the one timer of a client connection. It serves the deadline of what is waited for (a head, the next request) and, while
 * bodies move or the last bytes leave, the looks at their pace (rate-watch.ts).
 *
 * A deadline that moves later touches no timer: the one that fires early looks at the clock and is set again.
 */
import { fault } from '../base/faults.ts';
import { closeHow } from '../base/wire.ts';
import type { Http1ClientConnection } from './http1-connection.ts';
import { breakOff, close } from './http1-connection-close.ts';
import { reject, requestFault } from './http1-connection-fault.ts';
import { pace } from './rate-watch.ts';

/** The timer fired. */
export function onTime(connection: Http1ClientConnection): void {
  connection.ticket = 0;
  connection.ticketMs = Infinity;
  const { now } = connection.parts.engine;
  if (connection.isClosing) {
    checkFlush(connection, now);
    return;
  }
  if (now >= connection.deadlineMs) {
    onDeadline(connection);
    return;
  }
  if (connection.sink !== null && !connection.isTunnel) checkRate(connection, now);
  if (connection.deadlineMs !== Infinity) arm(connection, connection.deadlineMs);
}

function onDeadline(connection: Http1ClientConnection): void {
  connection.deadlineMs = Infinity;
  if (connection.sink !== null) return;
  if (connection.isReading) reject(connection, fault.requestTimeout, 'head not complete in time');
  else close(connection, closeHow.flush);
}

/** Ends the exchange when the client is too slow. It has to send while the request is unfinished and not paused by relay/. */
function checkRate(connection: Http1ClientConnection, now: number): void {
  const isReadingBody = !connection.isRequestDone && !connection.isPausedByRelay;
  const found = connection.rate.look(connection.wire, now, connection.listener.plan.limits.rateBytesMin, isReadingBody);
  if (found === pace.good) arm(connection, now + rateMs(connection));
  else if (found === pace.readingSlow) requestFault(connection, fault.requestBodyTimeout, 'body below the minimum rate');
  else if (found === pace.writingSlow) breakOff(connection, fault.clientReadTimeout);
}

/** The connection is being closed, and what is queued must still leave at the minimum rate. */
function checkFlush(connection: Http1ClientConnection, now: number): void {
  const found = connection.rate.lookAtFlush(connection.wire, now, connection.listener.plan.limits.rateBytesMin);
  if (found === pace.good) arm(connection, now + rateMs(connection));
  else if (found === pace.writingSlow) connection.wire.close(closeHow.reset);
}

/** Something is slow: makes sure that a look at the rate comes. */
export function watchRate(connection: Http1ClientConnection): void {
  arm(connection, connection.parts.engine.now + rateMs(connection));
}

/** Time between two looks at the rate; without a rate, some progress must be made in bodyMs. */
function rateMs(connection: Http1ClientConnection): number {
  const { limits, timeouts } = connection.listener.plan;
  return limits.rateBytesMin > 0 ? limits.rateGraceMs : timeouts.bodyMs;
}

/** What is waited for has to be there at `ms` of the engine's clock. */
export function setDeadline(connection: Http1ClientConnection, ms: number): void {
  connection.deadlineMs = ms;
  arm(connection, ms);
}

function arm(connection: Http1ClientConnection, ms: number): void {
  if (connection.ticketMs <= ms) return;
  const { engine } = connection.parts;
  disarm(connection);
  connection.ticket = engine.setTimer(ms - engine.now, connection, 0);
  connection.ticketMs = ms;
}

/** No timer is set from here. */
export function disarm(connection: Http1ClientConnection): void {
  if (connection.ticket !== 0) connection.parts.engine.cancelTimer(connection.ticket);
  connection.ticket = 0;
  connection.ticketMs = Infinity;
}
