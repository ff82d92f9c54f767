/** When an exchange may become a tunnel of another protocol (RFC 9110 §7.8), and whether the endpoint's 101 is what was asked for. */
import { field, type Head } from '../base/head.ts';
import { acceptFor } from '../protocol/http1/http1.ts';

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
