/** http1-connection-close: the end of a client connection: asked for, broken off, and done; and its bytes, counted. */
import { fault } from '../base/faults.ts';
import { closeHow } from '../base/wire.ts';
import type { Http1ClientConnection } from './http1-connection.ts';
import { giveHead } from './http1-connection-next.ts';
import { dropStash } from './http1-connection-receive.ts';
import { disarm, watchRate } from './http1-connection-time.ts';

/** A closing connection with less than this queued is left to the wire, which gives up on a peer that takes nothing. */
const FLUSH_FREE_BYTES = 4096;

/** `how`: one of closeHow. Tells nobody: an exchange under way was taken off the connection before. */
export function close(connection: Http1ClientConnection, how: number): void {
  if (connection.isClosing) return;
  connection.isClosing = true;
  if (connection.isAdmitted) {
    connection.countsAsClosing = true;
    connection.clients.closing++;
  }
  const { wire } = connection;
  connection.writer.drop();
  connection.clients.unlinkIdle(connection);
  // A deadline of what was before says nothing about how fast the rest has to leave.
  disarm(connection);
  if (how !== closeHow.reset && wire.queued > FLUSH_FREE_BYTES) {
    connection.rate.beginFlush(wire, connection.parts.engine.now);
    watchRate(connection);
  }
  wire.close(how);
}

/** Resets the connection and tells whose exchange was under way that the client is gone. */
export function breakOff(connection: Http1ClientConnection, faultId: number): void {
  const { sink } = connection;
  connection.sink = null;
  close(connection, closeHow.reset);
  if (sink !== null) sink.onClientGone(faultId);
}

/** The wire is closed: everything is given back, and the connection is not used again. */
export function bury(connection: Http1ClientConnection): void {
  const { sink, listener, clients } = connection;
  connection.sink = null;
  connection.isClosing = true;
  connection.writer.drop();
  connection.carry.clear();
  dropStash(connection);
  giveHead(connection);
  clients.unlinkIdle(connection);
  disarm(connection);
  if (connection.countsAsClosing) clients.closing--;
  connection.countsAsClosing = false;
  if (connection.isAdmitted) {
    countBytes(connection);
    connection.isAdmitted = false;
    listener.onGone(connection);
  }
  if (sink !== null) sink.onClientGone(fault.clientAborted);
  connection.decoder.reset();
  listener.takeBack(connection.kit);
}

/** Adds what moved since the last call to the listener's counters. */
export function countBytes(connection: Http1ClientConnection): void {
  const { wire } = connection;
  const { received, sent } = wire;
  connection.parts.table.wireBytes(
    connection.listener.plan.id,
    received - connection.countedReceived,
    sent - connection.countedSent,
  );
  connection.countedReceived = received;
  connection.countedSent = sent;
}
