/**
 * Answers: what weir says by itself: a fault, a redirect, a fixed response. Each fills the head of a response and returns its
 * body, whatever the version of HTTP.
 *
 * Rules
 * 1. A body names the reason and the request id, never an address of an endpoint or a part of the configuration beyond a route's name.
 * 2. Everything that came from outside is escaped for the format it is put into.
 * 3. The head given must have `bytes`, `base` and `room` set, the room at least ANSWER_HEAD_BYTES; nothing else in it is kept.
 */
import { fault, faults } from '../base/faults.ts';
import { field, fieldIdOf, framing, type Head, method } from '../base/head.ts';
import type { HeadersPlan, RouteActionPlan } from '../state/plan.ts';
import { acceptKinds } from './accept.ts';
import type { RequestFacts } from './facts.ts';
import { safeFieldValue, structuredItem } from './field-text.ts';
import { appendRateLimit } from './rate-limit.ts';
import { statusPhrase } from './status-phrases.ts';
import { type Template, template } from './template.ts';

/** Room that an answer to a fault never exceeds; a redirect and a fixed response also need their own texts. */
export const ANSWER_HEAD_BYTES = 1024;
/** Retry-After of a 503 that will pass: long enough to spread a herd, short enough for a person. */
const RETRY_AFTER_S = 5;
/** Longest detail that is put into a body. */
const DETAIL_CHARS_MAX = 500;
const NO_BODY = new Uint8Array(0);
/** RFC 9110 §10.2.1: what a 405 has to name. CONNECT and TRACE are never served. */
const ALLOW = 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH';
const encoder = new TextEncoder();

const contentTypes: readonly string[] = ['text/plain; charset=utf-8', 'text/html; charset=utf-8', 'application/problem+json'];

/** Answers faults. One per plan. */
export class FaultAnswers {
  private readonly plan: HeadersPlan;
  /** Proxy-Status up to the next hop, by fault number. */
  private readonly proxyStatus: readonly string[];
  private readonly requestIdName: string;
  private readonly requestIdField: number;

  constructor(plan: HeadersPlan, node: string) {
    this.plan = plan;
    this.proxyStatus = faults.map((_, id) => proxyStatusText(node, id, ''));
    this.requestIdName = (plan.requestId ?? '').toLowerCase();
    this.requestIdField = fieldIdOf(this.requestIdName);
  }

  /**
   * Fills `out` for a fault and returns the body. `facts` says id, method, accepted kind, pool, date, and what rate limits said. `detail` is one more
   * sentence for the body (what the codec objected to, the nearest route), or ''.
   */
  fill(out: Head, faultId: number, facts: RequestFacts, detail: string): Uint8Array {
    const row = faults[faultId]!;
    // 0 and 499 are for logs; whoever still asks for an answer to them gets one that says so little.
    const status = row.status === 0 || row.status === 499 ? 400 : row.status;
    begin(out, status);
    const body = encoder.encode(faultBody(faultId, status, facts, detail));
    out.append(field.contentType, 'content-type', contentTypes[facts.accept]!);
    out.append(field.other, 'cache-control', 'no-store');
    if (facts.date !== '') out.append(field.date, 'date', facts.date);
    if (this.requestIdName !== '' && facts.id !== '')
      out.append(this.requestIdField, this.requestIdName, safeFieldValue(facts.id));
    if (this.plan.proxyStatus !== 'never') {
      const hop = facts.pool === '' ? '' : `; next-hop=${structuredItem(facts.pool)}`;
      out.append(field.proxyStatus, 'proxy-status', this.proxyStatus[faultId]! + hop);
    }
    if (status === 429 || status === 503) out.append(field.retryAfter, 'retry-after', String(facts.retryAfterS || RETRY_AFTER_S));
    if (faultId === fault.methodNotAllowed) out.append(field.other, 'allow', ALLOW);
    if (facts.rateLimit !== '') appendRateLimit(out, facts);
    return finish(out, body, facts.method);
  }
}

/** An answer of the configuration: redirect or respond. Compiled once per route. */
export class RouteAnswer {
  private readonly status: number;
  private readonly body: Uint8Array;
  private readonly contentType: string;
  private readonly fields: readonly { readonly name: string; readonly id: number; readonly value: Template }[];

  constructor(action: Exclude<RouteActionPlan, { kind: 'forward' }>) {
    this.status = action.status;
    if (action.kind === 'redirect') {
      this.body = NO_BODY;
      this.contentType = '';
      this.fields = [{ name: 'location', id: field.location, value: template(action.location) }];
    } else {
      this.body = encoder.encode(action.body);
      this.contentType = action.contentType;
      this.fields = action.headers.map(({ name, value }) => ({
        name,
        id: fieldIdOf(name.toLowerCase()),
        value: template(value),
      }));
    }
  }

  /** Fills `out` and returns the body. `request` must still be as received. */
  fill(out: Head, request: Head, facts: RequestFacts): Uint8Array {
    begin(out, this.status);
    if (facts.date !== '') out.append(field.date, 'date', facts.date);
    if (this.body.length > 0 && this.contentType !== '') out.append(field.contentType, 'content-type', this.contentType);
    for (const { name, id, value } of this.fields) {
      const text = value.render(request, facts);
      out.append(id, name, id === field.location ? safeLocation(text, value) : text);
    }
    // A client that is told to wait might not follow a redirect (draft-ietf-httpapi-ratelimit-headers-11 §6).
    if (facts.rateLimit !== '' && (this.status < 300 || this.status > 399)) appendRateLimit(out, facts);
    return finish(out, this.body, facts.method);
  }

  /** The Location that a redirect would send, for `weir explain` and `tests:`; '' when it sends none. */
  location(request: Head, facts: RequestFacts): string {
    const found = this.fields.find((f) => f.id === field.location);
    return found === undefined ? '' : safeLocation(found.value.render(request, facts), found.value);
  }
}

/** The answer of a listener with `redirectToHttps`. 308 keeps method and body (RFC 9110 §15.4.9). */
export function httpsRedirect(): RouteAnswer {
  return new RouteAnswer({ kind: 'redirect', status: 308, location: 'https://{request.host}{request.uri}' });
}

/**
 * Proxy-Status for a fault (RFC 9209 §2): `lb-a; error=connection_refused; next-hop=web`. A reason that is ours goes out as the nearest
 * registered type with the reason as details.
 */
export function proxyStatusText(node: string, faultId: number, nextHop: string): string {
  const { reason, proxyStatus } = faults[faultId]!;
  const details = reason === proxyStatus ? '' : `; details="${reason}"`;
  const hop = nextHop === '' ? '' : `; next-hop=${structuredItem(nextHop)}`;
  return `${structuredItem(node)}; error=${proxyStatus}${details}${hop}`;
}

function begin(out: Head, status: number): void {
  const { base, room } = out;
  out.reset();
  out.base = base;
  out.room = room;
  out.status = status;
  out.reasonStart = 0;
  out.write(statusPhrase(status));
  out.reasonEnd = out.used;
}

/** Framing by status and method (RFC 9112 §6.3). Returns the body to send. */
function finish(out: Head, body: Uint8Array, requestMethod: number): Uint8Array {
  if (out.status < 200 || out.status === 204 || out.status === 304) {
    out.framing = framing.none;
    return NO_BODY;
  }
  out.contentLength = body.length;
  if (requestMethod === method.HEAD) {
    out.framing = framing.none;
    return NO_BODY;
  }
  out.framing = framing.length;
  return body;
}

/**
 * A location made of the request must not become one of another host: a path that begins with two slashes is a network-path
 * reference (RFC 3986 §4.2), so one that the configuration did not write that way loses the second.
 */
function safeLocation(text: string, value: Template): string {
  if (value.isStatic || value.startsWith('//')) return text;
  return text.replace(/^[/\\]{2,}/, '/');
}

function faultBody(faultId: number, status: number, facts: RequestFacts, detail: string): string {
  const { reason, text } = faults[faultId]!;
  const title = statusPhrase(status);
  const more = detail.slice(0, DETAIL_CHARS_MAX);
  const { id } = facts;
  if (facts.accept === acceptKinds.json) {
    const problem: Record<string, unknown> = {
      type: 'about:blank',
      title,
      status,
      detail: more === '' ? text : `${text} ${more}`,
      reason,
    };
    if (id !== '') problem['id'] = id;
    return JSON.stringify(problem) + '\n';
  }
  if (facts.accept === acceptKinds.html) {
    const idLine = id === '' ? '' : `<br>request id: ${escapeHtml(id)}`;
    return (
      `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${status} ${escapeHtml(title)}</title>` +
      `<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em}small{color:#666}</style></head>` +
      `<body><h1>${status} ${escapeHtml(title)}</h1><p>${escapeHtml(text)}${more === '' ? '' : ' ' + escapeHtml(more)}</p>` +
      `<p><small>reason: ${reason}${idLine}</small></p></body></html>\n`
    );
  }
  const idLine = id === '' ? '' : `request id: ${printable(id)}\n`;
  return `${status} ${title}\n${text}${more === '' ? '' : ' ' + printable(more)}\nreason: ${reason}\n${idLine}`;
}

function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** Control characters could steer a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
