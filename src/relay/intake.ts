/**
 * The first steps of an exchange, up to the pool: who asks, what route that is, and whether the filters let it pass. It ends with a place
 * that is asked for, or with an answer of weir's own.
 */
import { NO_BLOCK } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { type Head, method } from '../base/head.ts';
import type { ClientStream } from '../base/stream.ts';
import { applyRewrite, BAD_PATH, chooseTarget, NO_ROUTE } from '../route/route.ts';
import type { Exchange } from './exchange.ts';
import type { ListenerFacts } from './exchange-state.ts';
import type { RouteRuntime } from './runtime.ts';
import { mayUpgrade } from './upgrade.ts';

/** Room kept behind a request head for what filters append to it and to the response. */
const APPEND_BYTES = 1536;

/** Takes a request. The head belongs to the exchange from here; its bytes are lent for the call. */
export function takeRequest(exchange: Exchange, client: ClientStream, listener: ListenerFacts, head: Head): void {
  const { relay, facts } = exchange;
  const { blocks } = relay;
  exchange.head = head;
  if (!open(exchange, client, listener, blocks.take(head.size + APPEND_BYTES))) return;
  head.moveTo(blocks.start(exchange.block), blocks.size(exchange.block));
  exchange.record.setHead(head, relay.logsFields);
  facts.method = head.method;
  facts.nowMs = relay.table.nowMs();
  if (listener.index < 0) {
    exchange.answer(fault.draining, '');
    return;
  }
  const from = resolveClient(exchange, client, listener.index, head);
  if (head.method === method.CONNECT || head.method === method.TRACE) {
    exchange.answer(fault.methodNotAllowed, 'CONNECT and TRACE are not served');
  } else if (listener.plan.redirectToHttps) exchange.download.answerRoute(exchange.runtime!.toHttps);
  else findRoute(exchange, listener.index, head, from);
}

/** Takes a connection on which no head could be read: answers it. */
export function takeBad(
  exchange: Exchange,
  client: ClientStream,
  listener: ListenerFacts,
  faultId: number,
  detail: string,
): void {
  if (open(exchange, client, listener, exchange.relay.blocks.takeSmall())) exchange.answer(faultId, detail);
}

/** False when there is no memory, not even for an answer: the connection is cut. */
function open(exchange: Exchange, client: ClientStream, listener: ListenerFacts, block: number): boolean {
  const { relay, facts } = exchange;
  exchange.client = client;
  exchange.listener = listener;
  exchange.runtime = relay.runtime!;
  exchange.protocol = client.protocol;
  exchange.startedMs = client.startedMs;
  exchange.beganMs = exchange.lastMs = relay.engine.now;
  exchange.number = relay.nextNumber();
  client.sink = exchange;
  if (block === NO_BLOCK) {
    exchange.record.reset();
    exchange.abort(fault.overload, 'no block free');
    return false;
  }
  exchange.block = block;
  exchange.record.tls = client.tls;
  exchange.record.serverName = client.tls === null ? '' : client.tls.serverName;
  facts.peer = facts.client = client.address.text;
  // For the forwarded fields a PROXY line is the whole truth; the log also tells who wrote it.
  if (relay.isLogging && !client.peer.equals(client.address)) exchange.record.peer = client.peer.text;
  facts.clientPort = client.address.port;
  facts.scheme = client.secure ? 'https' : 'http';
  facts.listener = listener.plan.name;
  facts.id = relay.idOf(exchange.number);
  return true;
}

/** Who asks: the peer, or whom a trusted peer speaks for. */
function resolveClient(exchange: Exchange, client: ClientStream, listenerIndex: number, head: Head): ClientAddress {
  const { facts, address } = exchange;
  const rules = exchange.runtime!.clientRules[listenerIndex]!;
  // Whom a PROXY line speaks for has connected to another port than the one we listen at.
  facts.listenerPort = client.toldPort > 0 ? String(client.toldPort) : exchange.runtime!.listenerPorts[listenerIndex]!;
  if (!rules.trusts(client.address)) return client.address;
  facts.peerIsTrusted = true;
  rules.resolve(head, client.address, address);
  facts.client = address.text;
  facts.clientPort = address.port;
  return address;
}

function findRoute(exchange: Exchange, listenerIndex: number, head: Head, from: ClientAddress): void {
  const runtime = exchange.runtime!;
  const table = runtime.tables[listenerIndex]!;
  const index = table.match(head, from);
  if (index === BAD_PATH) exchange.answer(fault.badRequest, 'the path can be read in two ways');
  else if (index === NO_ROUTE) exchange.answer(fault.destinationNotFound, table.nearestMiss(head, from));
  else follow(exchange, runtime.routes[index]!, head, from);
}

function follow(exchange: Exchange, route: RouteRuntime, head: Head, from: ClientAddress): void {
  const { facts, placement } = exchange;
  const runtime = exchange.runtime!;
  const { action } = route.plan;
  exchange.route = route;
  exchange.from = from;
  facts.route = route.plan.name;
  if (action.kind !== 'forward') {
    const denied = route.filters.request(head, from, facts);
    if (denied !== 0) exchange.answer(denied, '');
    else exchange.download.answerRoute(route.answer!);
    return;
  }
  placement.use(runtime.pools[chooseTarget(action, exchange.relay.random())]!, head, from);
  exchange.wantsUpgrade = head.upgradeEnd > head.upgradeStart && route.mayUpgrade && mayUpgrade(head, route.plan.upgrade);
  let refused = runtime.forwarded.request(head, facts);
  if (refused === 0 && route.plan.rewrite !== null && !applyRewrite(route.plan, head)) refused = fault.headTooLarge;
  if (refused === 0) refused = route.filters.request(head, from, facts);
  if (refused === 0) placement.enter();
  else exchange.answer(refused, '');
}
