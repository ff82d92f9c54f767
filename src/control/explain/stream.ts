/**
 * stream: why does this connection, or this client's first datagram, go there? As explain.ts for requests: the rooms of the data plane are asked in its order.
 */
import { FALLBACKS_MAX } from '../../balance/balance.ts';
import { ClientAddress } from '../../base/client-address.ts';
import { fault, faults } from '../../base/faults.ts';
import { addressText } from '../../base/wire.ts';
import { chooseTarget, type StreamRoute, StreamTable } from '../../route/route.ts';
import type { TableReader } from '../../state/doors.ts';
import { isByName, type ListenerPlan, type Plan, type PoolPlan, type StreamRoutePlan } from '../../state/plan.ts';
import type { ExplainParts, RouteStep } from './explain.ts';
import { enterStream, type Placing, type PoolStep, placeIn } from './place.ts';
import type { ChosenListener, ExplainRequest } from './request.ts';
import { type ClientHello, carriedStep, missingStep, openedStep, type TlsStep } from './tls.ts';
import { durationText, streamMatchText, targetText } from './words.ts';

/** Where a connection stands in a queue: it has no urgency of its own (relay/tunnel). */
const URGENCY = 3;
/** No TLS, or what was in it. */
const NO_HELLO: ClientHello = { serverName: null, alpn: [] };

export interface StreamExplanation {
  connection: { url: string; client: string; sni: string | null; alpn: string[] };
  epoch: number;
  listener: { name: string; addresses: string[]; protocol: string; why: string };
  /** How the client is known, when not by its own connection. */
  preface: string | null;
  /** null: TLS, if it is any, is passed on by a listener that knows none. */
  tls: TlsStep | null;
  /** In the order of precedence. */
  routes: RouteStep[];
  /** Why it goes nowhere: a word of base/faults, and a sentence. null: an endpoint gets it. */
  refused: { reason: string; detail: string } | null;
  /** What is said to the endpoint before the client's first byte; null: nothing. */
  sends: string | null;
  /** Pools that were asked before `pool`, of which no endpoint could take it. */
  passed: PoolStep[];
  pool: PoolStep | null;
  /** Seconds, 0 = none; `text` for people. */
  limits: { connect: number; idle: number; total: number; halfClosed: number; tries: number; text: string } | null;
  note: string | null;
}

/** Explains a connection under a plan whose slots are assigned. Returns a sentence when the address of the client is none. */
export function explainStream(
  plan: Plan,
  table: TableReader,
  request: ExplainRequest,
  { listener, why: whyListener }: ChosenListener,
  { draw, why, note }: ExplainParts,
): StreamExplanation | string {
  const client = new ClientAddress();
  if (!client.set(request.client)) return `'${request.client}' is no IP address`;
  const { sni, alpn, url } = request;
  const explanation: StreamExplanation = {
    connection: { url, client: client.text, sni, alpn },
    epoch: plan.epoch,
    listener: {
      name: listener.name,
      addresses: listener.addresses.map(addressText),
      protocol: listener.protocol,
      why: whyListener,
    },
    preface: prefaceText(listener),
    tls: null,
    routes: [],
    refused: null,
    sends: null,
    passed: [],
    pool: null,
    limits: null,
    note: note ?? null,
  };
  const hello: ClientHello | null = sni === null && alpn.length === 0 ? null : { serverName: sni, alpn };
  const asks = throughTls(explanation, plan, listener, hello, client);
  if (asks === null) return explanation;
  const streams = new StreamTable(listener);
  const name = asks.serverName ?? '';
  const taken = streams.match(name, asks.alpn, client);
  explanation.routes = streams.routes.map((route) => stepOf(route, taken, streams.missed(route, name, asks.alpn, client), plan));
  if (taken === null) {
    explanation.refused = { reason: faults[fault.destinationNotFound]!.reason, detail: 'no route of the listener matches' };
    return explanation;
  }
  const drawn = (): number => request.random ?? draw();
  const placing = { pools: plan.pools, table, at: plan, client, urgency: URGENCY, draw: drawn, why };
  place(explanation, taken.plan, plan, placing);
  explanation.limits = limitsOf(taken.plan, listener);
  return explanation;
}

/** Whom TLS of this hello is carried to unopened; null: it is opened. */
function carrierOf(listener: ListenerPlan, { serverName, alpn }: ClientHello, client: ClientAddress): StreamRoutePlan | null {
  const route = new StreamTable(listener).match(serverName ?? '', alpn, client);
  return route !== null && isByName(route.plan) ? route.plan : null;
}

/** Does an `auto` listener carry TLS of this hello as it is, so that nobody here sees a request in it? */
export function isCarried(listener: ListenerPlan, hello: ClientHello, clientText: string): boolean {
  const client = new ClientAddress();
  return listener.tls === null || (client.set(clientText) && carrierOf(listener, hello, client) !== null);
}

/** What becomes of TLS, and what routes are then asked for; null: none is asked. */
function throughTls(
  explanation: StreamExplanation,
  plan: Plan,
  listener: ListenerPlan,
  hello: ClientHello | null,
  client: ClientAddress,
): ClientHello | null {
  const isAuto = listener.protocol === 'auto';
  if (listener.tls === null || (hello === null && isAuto)) return hello ?? NO_HELLO;
  if (hello === null) {
    explanation.tls = missingStep();
    explanation.refused = { reason: 'preface', detail: explanation.tls.why };
    return null;
  }
  const carrier = carrierOf(listener, hello, client);
  if (carrier !== null) {
    explanation.tls = carriedStep(hello, carrier);
    return hello;
  }
  const { verdict, why } = (explanation.tls = openedStep(plan, listener, hello)!);
  if (verdict === 'refused') explanation.refused = { reason: 'tls', detail: why };
  // In what an auto listener opens there are requests.
  return verdict === 'refused' || isAuto ? null : NO_HELLO;
}

function place(explanation: StreamExplanation, route: StreamRoutePlan, plan: Plan, placing: Omit<Placing, 'head'>): void {
  let pool: PoolPlan = plan.pools[chooseTarget(route.target, placing.draw())]!;
  let placed = placeIn(enterStream(pool, placing), placing);
  placed.step.of = route.target.pools.length === 1 ? null : targetText(route.target, plan);
  while (placed.next !== null && explanation.passed.length < FALLBACKS_MAX) {
    explanation.passed.push(placed.step);
    pool = placed.next;
    placed = placeIn(enterStream(pool, placing), placing);
  }
  explanation.pool = placed.step;
  explanation.sends = sendsText(pool);
  const name = placed.failed?.fault ?? (placed.next === null ? null : 'destinationUnavailable');
  if (name === null) return;
  const { reason, text } = faults[fault[name]]!;
  explanation.refused = { reason, detail: placed.failed?.detail || text };
}

function stepOf({ plan: route }: StreamRoute, taken: StreamRoute | null, missed: readonly string[], plan: Plan): RouteStep {
  const verdict = route === taken?.plan ? 'taken' : missed.length === 0 ? 'also fits' : 'missed';
  const { name, source, match, target } = route;
  return { name, source, verdict, match: streamMatchText(match), action: targetText(target, plan), missed };
}

function prefaceText({ proxyProtocol }: ListenerPlan): string | null {
  if (proxyProtocol === null) return null;
  return proxyProtocol.isRequired
    ? 'named by a PROXY line: connections without one, or from peers that are not believed, are reset'
    : 'named by a PROXY line, if a peer that is believed sends one';
}

function sendsText({ proxyProtocol, sourceAddress }: PoolPlan): string | null {
  const parts: string[] = [];
  if (proxyProtocol !== 0) parts.push(`a PROXY line (v${proxyProtocol}) that names the client`);
  if (sourceAddress?.isTransparent) parts.push("from the client's own address");
  else if (sourceAddress !== null) parts.push(`from ${sourceAddress.addresses.join(', ')} in turns`);
  return parts.length === 0 ? null : parts.join(', ');
}

function limitsOf({ timeouts, attempts }: StreamRoutePlan, { udp }: ListenerPlan): StreamExplanation['limits'] {
  const { connectMs, idleMs, totalMs, halfClosedMs } = timeouts;
  const tries = attempts === 1 ? 'one try' : `${attempts} tries to connect`;
  const answers =
    udp === null || udp.responses === 0
      ? ''
      : `, forgotten after ${udp.responses === 1 ? 'one answer' : `${udp.responses} answers`}`;
  const text =
    udp === null
      ? `connect ${durationText(connectMs)}, idle ${durationText(idleMs)}, total ${durationText(totalMs)}, half closed ${durationText(halfClosedMs)}; ${tries}`
      : `idle ${durationText(idleMs)}${answers}`;
  return {
    connect: connectMs / 1000,
    idle: idleMs / 1000,
    total: totalMs / 1000,
    halfClosed: halfClosedMs / 1000,
    tries: attempts,
    text,
  };
}
