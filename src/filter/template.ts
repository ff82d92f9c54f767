/**
 * Templates: text with `{placeholders}`, compiled once. `{` that does not open a placeholder is itself, so JSON in a header value
 * needs no escape; a name in braces that is no placeholder is an error of the configuration.
 */
import { field, fieldIdOf, type Head } from '../base/head.ts';
import type { RequestFacts } from './facts.ts';
import { safeFieldValue } from './field-text.ts';

const placeholder = /\{([a-z]+(?:\.[A-Za-z0-9_-]+)*)\}/g;

/** What a part of a template is replaced by. */
export const part = Object.freeze({
  literal: 0,
  clientIp: 1,
  clientPort: 2,
  peerIp: 3,
  id: 4,
  scheme: 5,
  listenerPort: 6,
  listener: 7,
  route: 8,
  pool: 9,
  endpoint: 10,
  /** Taken from the request head while it was there: `facts.saved[id]`. */
  saved: 11,
  // From here on the request head is needed.
  host: 20,
  authority: 21,
  path: 22,
  query: 23,
  uri: 24,
  method: 25,
  header: 26,
});

const names: ReadonlyMap<string, number> = new Map([
  ['client.ip', part.clientIp],
  ['client.port', part.clientPort],
  ['peer.ip', part.peerIp],
  ['request.id', part.id],
  ['request.scheme', part.scheme],
  ['request.host', part.host],
  ['request.authority', part.authority],
  ['request.path', part.path],
  ['request.query', part.query],
  ['request.uri', part.uri],
  ['request.method', part.method],
  ['listener.port', part.listenerPort],
  ['listener', part.listener],
  ['route', part.route],
  ['pool', part.pool],
  ['endpoint', part.endpoint],
]);

export interface Part {
  readonly kind: number;
  /** The literal, or the lower-case name of a header. */
  readonly text: string;
  readonly id: number;
}

export class Template {
  /** No placeholder: the text is always the same. */
  readonly isStatic: boolean;
  /** Needs the request head. */
  readonly needsHead: boolean;
  readonly parts: readonly Part[];

  constructor(parts: readonly Part[]) {
    this.parts = parts;
    this.isStatic = parts.every((p) => p.kind === part.literal);
    this.needsHead = parts.some((p) => p.kind >= part.host);
  }

  /**
   * The same template for a time when the request head is gone. Its parts that need the head are pushed to `saves`: render those
   * while the head is there, into `facts.saved` at the same places.
   */
  detach(saves: Template[]): Template {
    if (!this.needsHead) return this;
    return new Template(
      this.parts.map((p) => (p.kind < part.host ? p : { kind: part.saved, text: '', id: saves.push(new Template([p])) - 1 })),
    );
  }

  /** Does the text of the configuration begin so? */
  startsWith(text: string): boolean {
    return this.parts[0]!.kind === part.literal && this.parts[0]!.text.startsWith(text);
  }

  /** The text, fit for a field value. `head` may be null when the template does not need it. */
  render(head: Head | null, facts: RequestFacts): string {
    const { parts } = this;
    if (parts.length === 1 && parts[0]!.kind === part.literal) return parts[0]!.text;
    let text = '';
    for (let i = 0; i < parts.length; i++) text += partText(parts[i]!, head, facts);
    return safeFieldValue(text);
  }
}

/** Compiles a template. Returns what is wrong with it, as a sentence, when something is. */
export function compileTemplate(text: string): Template | string {
  const parts: Part[] = [];
  let at = 0;
  for (const found of text.matchAll(placeholder)) {
    if (found.index > at) parts.push({ kind: part.literal, text: text.slice(at, found.index), id: 0 });
    at = found.index + found[0].length;
    const name = found[1]!;
    const kind = names.get(name);
    if (kind !== undefined) parts.push({ kind, text: '', id: 0 });
    else if (name.startsWith('request.header.')) {
      const header = name.slice('request.header.'.length).toLowerCase();
      parts.push({ kind: part.header, text: header, id: fieldIdOf(header) });
    } else
      return `there is no placeholder {${name}}; known are ${[...names.keys()].map((n) => `{${n}}`).join(', ')} and {request.header.NAME}`;
  }
  if (at < text.length || parts.length === 0) parts.push({ kind: part.literal, text: text.slice(at), id: 0 });
  return new Template(parts);
}

/** Compiles a template that the configuration has checked. */
export function template(text: string): Template {
  const compiled = compileTemplate(text);
  if (typeof compiled === 'string') throw new SyntaxError(compiled);
  return compiled;
}

/** Text of one part; '' when it needs a head that is not there. */
export function partText(p: Part, head: Head | null, facts: RequestFacts): string {
  switch (p.kind) {
    case part.literal:
      return p.text;
    case part.clientIp:
      return facts.client;
    case part.clientPort:
      return facts.clientPort === 0 ? '' : String(facts.clientPort);
    case part.peerIp:
      return facts.peer;
    case part.id:
      return facts.id;
    case part.scheme:
      return facts.scheme;
    case part.listenerPort:
      return facts.listenerPort;
    case part.listener:
      return facts.listener;
    case part.route:
      return facts.route;
    case part.pool:
      return facts.pool;
    case part.endpoint:
      return facts.endpoint;
    case part.saved:
      return facts.saved[p.id]!;
    default:
      return head === null ? '' : headText(p, head);
  }
}

function headText(p: Part, head: Head): string {
  switch (p.kind) {
    case part.host:
      return hostText(head);
    case part.authority:
      return head.text(head.authorityStart, head.authorityEnd);
    case part.path:
      return pathText(head);
    case part.query:
      return head.queryStart < 0 ? '' : head.text(head.queryStart, head.queryEnd);
    case part.uri:
      return head.queryStart < 0 ? pathText(head) : pathText(head) + '?' + head.text(head.queryStart, head.queryEnd);
    case part.method:
      return head.text(head.methodStart, head.methodEnd);
    default: {
      if (p.id === field.host) return head.text(head.authorityStart, head.authorityEnd);
      const at = p.id === field.other ? head.findName(p.text) : head.find(p.id);
      return at < 0 ? '' : head.value(at);
    }
  }
}

/** Always begins with a slash, so that "https://shop.example{request.uri}" cannot change its host (`OPTIONS *`, empty path). */
function pathText(head: Head): string {
  const path = head.text(head.pathStart, head.pathEnd);
  return path.charCodeAt(0) === 47 ? path : '/';
}

/** Host without port. */
function hostText(head: Head): string {
  const authority = head.text(head.authorityStart, head.authorityEnd);
  const colon = authority.lastIndexOf(':');
  return colon < 0 || authority.indexOf(']', colon) >= 0 ? authority : authority.slice(0, colon);
}
