/** An exchange becomes a tunnel of another protocol (RFC 9110 §7.8): when it may, whether the endpoint's 101 is what was asked for, and how the tunnel ends. */
import { fault } from '../base/faults.ts';
import { field, type Head } from '../base/head.ts';
import { acceptFor } from '../protocol/http1/http1.ts';
import type { Exchange } from './exchange.ts';

/** Is what the request asks to upgrade to among the route's protocols (lower-case)? A WebSocket opening has to be a whole one. */
export function mayUpgrade(request: Head, protocols: readonly string[]): boolean {
  const token = request.text(request.upgradeStart, request.upgradeEnd).toLowerCase();
  return protocols.includes(token) && (token !== 'websocket' || request.isWebSocket);
}

/** 101 is right only with the protocol that was asked for, and for WebSocket with the proof of RFC 6455 §4.2.2. */
export function isGoodSwitch(request: Head, response: Head): boolean {
  const asked = request.text(request.upgradeStart, request.upgradeEnd).toLowerCase();
  if (response.text(response.upgradeStart, response.upgradeEnd).toLowerCase() !== asked) return false;
  if (asked !== 'websocket') return true;
  const key = request.find(field.secWebsocketKey);
  const proof = response.find(field.secWebsocketAccept);
  return key >= 0 && proof >= 0 && response.value(proof) === acceptFor(request.value(key));
}

/** The 101 was sent: both directions are bytes from here. */
export function startTunnel(exchange: Exchange): void {
  const { relay, slot } = exchange;
  exchange.isTunnel = true;
  exchange.placement.retried();
  relay.table.tunnel(slot, 1);
  relay.carried.add(exchange);
  exchange.upload.isEnded = false;
  exchange.stream!.startTunnel();
  exchange.client!.startTunnel();
  exchange.deadline.arm();
  if (exchange.slot === slot && relay.table.isCut(slot)) cutTunnel(exchange);
}

/** It has no place at the endpoint any more. */
export function leaveTunnel(exchange: Exchange, slot: number): void {
  exchange.relay.table.tunnel(slot, -1);
  exchange.relay.carried.remove(exchange);
}

/** The drain of its endpoint is over its deadline: both sides are reset. */
export function cutTunnel(exchange: Exchange): void {
  exchange.breakStream();
  exchange.settle(0, exchange.responseMs);
  exchange.abort(fault.draining, 'the drain of the endpoint is over its deadline');
}

/** The client ended its direction. */
export function closeUpward(exchange: Exchange): void {
  exchange.stream!.sendClose();
  afterHalf(exchange, exchange.download.isEnded);
}

/** The endpoint ended its direction. */
export function closeDownward(exchange: Exchange): void {
  if (exchange.download.isEnded) return;
  exchange.download.sendEnd(null);
  afterHalf(exchange, exchange.upload.isEnded);
}

function afterHalf(exchange: Exchange, isWhole: boolean): void {
  exchange.lastMs = exchange.relay.engine.now;
  if (isWhole) {
    exchange.dropStream();
    exchange.finish();
  } else exchange.deadline.arm();
}

/** Nothing moved for too long. After one side's end that is an end, before it a fault. */
export function endIdleTunnel(exchange: Exchange): void {
  exchange.dropStream();
  exchange.settle(0, exchange.responseMs);
  exchange.abort(exchange.download.isEnded || exchange.upload.isEnded ? 0 : fault.readTimeout, 'tunnel idle');
}
