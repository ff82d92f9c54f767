/**
 * filter: what is done to a message on its way, and what weir answers by itself.
 *
 * It does not know: routes, pools, wires, clocks. What it needs of an exchange stands in RequestFacts, the time too; a fault is returned by its number.
 *
 * Rules
 * 1. The order for a request: ClientRules.resolve, ForwardedFields.request, the route's rewrite, FilterChain.request. For a final response:
 *    FilterChain.response, ForwardedFields.response. Interim responses pass untouched.
 * 2. No text goes into a head that could not stand in a field: texts of the configuration are checked when it is loaded, texts made of a request
 *    when they are made.
 * 3. Without filters, request() and response() of a chain cost one comparison. Forwarded fields allocate nothing, unless Forwarded is on or a trusted
 *    peer's request id is taken over. A rate limit allocates nothing, unless it tells its client.
 * 4. What a rate limit remembers is not here but in the state table, where all workers of the node see it.
 */
import type { RoutePlan } from '../state/plan.ts';
import { FilterChain } from './chain.ts';
import { checkFieldName, checkFieldValue } from './field-text.ts';
import type { FilterParts } from './rate-limit.ts';
import { compileTemplate } from './template.ts';

export { acceptKind, acceptKinds } from './accept.ts';
export { ANSWER_HEAD_BYTES, FaultAnswers, httpsRedirect, proxyStatusText, RouteAnswer } from './answer.ts';
export { FilterChain } from './chain.ts';
export { ClientRules, clientFrom } from './client-rules.ts';
export { RequestFacts } from './facts.ts';
export { checkFieldName, checkFieldValue, safeFieldValue, structuredItem, tokenOf } from './field-text.ts';
export { ForwardedFields } from './forwarded.ts';
export type { FilterParts } from './rate-limit.ts';
export { statusPhrase } from './status-phrases.ts';
export { compileTemplate, Template } from './template.ts';

/** Compiles the filters of one route. Without `parts` nothing is counted and rate limits let everything pass. */
export function buildFilters(route: Pick<RoutePlan, 'filters'>, parts: FilterParts | null = null): FilterChain {
  return new FilterChain(route.filters, parts);
}

/** What is wrong with an edit of a header, or null. For config: what passes here compiles and can be written. */
export function checkHeaderEdit(name: string, value: string): string | null {
  const wrong = checkFieldName(name) ?? checkFieldValue(value);
  if (wrong !== null) return wrong;
  const compiled = compileTemplate(value);
  return typeof compiled === 'string' ? compiled : null;
}

/** What is wrong with a text with placeholders that is not a header value (a redirect's location), or null. */
export function checkTemplate(text: string): string | null {
  const compiled = compileTemplate(text);
  return typeof compiled === 'string' ? compiled : checkFieldValue(text);
}
