/**
 * FilterChain: the filters of one route, compiled, in the order the route names them. The first that refuses ends it.
 */

import { assert } from '../base/assert.ts';
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { field, fieldIdOf, type Head } from '../base/head.ts';
import { filterDecision } from '../state/doors.ts';
import type { FilterPlan, HeaderEditPlan } from '../state/plan.ts';
import type { RequestFacts } from './facts.ts';
import { checkFieldName, checkFieldValue, isAuthority } from './field-text.ts';
import { appendRateLimit, type FilterParts, RateLimit } from './rate-limit.ts';
import { type Template, template } from './template.ts';

interface FieldEdit {
  readonly name: string;
  readonly nameLower: string;
  readonly id: number;
  readonly value: Template;
}

interface HeaderEdit {
  readonly remove: readonly { readonly nameLower: string; readonly id: number }[];
  readonly set: readonly FieldEdit[];
  readonly add: readonly FieldEdit[];
}

interface AccessRule {
  /** Empty: everybody who is not denied. */
  readonly allow: CidrSet;
  readonly deny: CidrSet;
  readonly id: number;
  readonly isShadow: boolean;
}

/** One filter: at most one of the three is there. */
interface Step {
  readonly access: AccessRule | null;
  readonly limit: RateLimit | null;
  readonly request: HeaderEdit | null;
}

export class FilterChain {
  /** Nothing is to be done to any message. */
  readonly isEmpty: boolean;
  private readonly steps: readonly Step[];
  private readonly responses: readonly HeaderEdit[];
  /** Parts of response values that need the request head: they are rendered while it is there. */
  private readonly saves: readonly Template[];

  private readonly parts: FilterParts | null;
  /** RateLimit-Policy of all limits that are told; '' for none. */
  private readonly policy: string;

  /** `parts` null: nothing is counted, and rate limits let everything pass. */
  constructor(filters: readonly FilterPlan[], parts: FilterParts | null = null) {
    const saves: Template[] = [];
    const responses: HeaderEdit[] = [];
    this.steps = filters.map((plan): Step => {
      if (plan.kind === 'access') {
        const { allow, deny, id, isShadow } = plan;
        return { access: { allow: new CidrSet(allow), deny: new CidrSet(deny), id, isShadow }, limit: null, request: null };
      }
      if (plan.kind === 'rateLimit') return { access: null, limit: new RateLimit(plan.id, plan.name, plan), request: null };
      const response = compileEdit(plan.response, saves);
      if (response !== null) responses.push(response);
      return { access: null, limit: null, request: compileEdit(plan.request, null) };
    });
    this.parts = parts;
    this.responses = responses;
    this.saves = saves;
    this.policy = this.steps.flatMap(({ limit }) => (limit === null || limit.policy === '' ? [] : [limit.policy])).join(', ');
    this.isEmpty = this.steps.length === 0;
  }

  /** What is done to a request. Returns 0 or a fault number; after a fault the request must not go on. */
  request(head: Head, client: ClientAddress, facts: RequestFacts): number {
    return this.isEmpty ? 0 : this.run(head, client, facts, true);
  }

  /** What {@link request} would do and say, while no limit and no counter takes notice. The head is edited all the same. */
  peek(head: Head, client: ClientAddress, facts: RequestFacts): number {
    return this.isEmpty ? 0 : this.run(head, client, facts, false);
  }

  private run(head: Head, client: ClientAddress, facts: RequestFacts, takes: boolean): number {
    const { steps, saves, parts } = this;
    for (let i = 0; i < saves.length; i++) facts.saved[i] = saves[i]!.render(head, facts);
    if (parts !== null) facts.rateLimitPolicy = this.policy;
    for (let i = 0; i < steps.length; i++) {
      const { access, limit, request } = steps[i]!;
      if (limit !== null) {
        if (parts === null) continue;
        const limited = limit.decide(head, client, facts, parts, takes);
        if (limited !== 0) return limited;
      } else if (access !== null) {
        if (!access.deny.has(client) && (access.allow.count === 0 || access.allow.has(client))) continue;
        if (takes && parts !== null)
          parts.filterDecided(access.id, access.isShadow ? filterDecision.wouldDeny : filterDecision.denied);
        if (!access.isShadow) return fault.requestDenied;
      } else if (request !== null) {
        const failed = applyEdit(request, head, head, facts, fault.headTooLarge);
        if (failed !== 0) return failed;
      }
    }
    return 0;
  }

  /** What is done to a final response. The filter nearest to the client has the last word, so the order is the reverse. Returns 0 or a fault number. */
  response(head: Head, facts: RequestFacts): number {
    const { responses } = this;
    for (let i = responses.length - 1; i >= 0; i--) {
      const failed = applyEdit(responses[i]!, head, null, facts, fault.responseHeadTooLarge);
      if (failed !== 0) return failed;
    }
    if (facts.rateLimit !== '') appendRateLimit(head, facts);
    return 0;
  }
}

/** Returns 0 or a fault number; `noRoom` is the one for a full head. */
function applyEdit(edit: HeaderEdit, head: Head, requestHead: Head | null, facts: RequestFacts, noRoom: number): number {
  const { remove, set, add } = edit;
  for (let i = 0; i < remove.length; i++) removeField(head, remove[i]!.id, remove[i]!.nameLower);
  for (let i = 0; i < set.length; i++) {
    const e = set[i]!;
    // The value first: it may be made of the field that is replaced.
    const value = e.value.render(requestHead, facts);
    if (e.id === field.host && requestHead !== null) {
      // A value made of the request must not become a Host that the codec would have refused.
      if (!isAuthority(value)) return fault.badRequest;
      if (!head.setAuthority(value)) return noRoom;
      continue;
    }
    removeField(head, e.id, e.nameLower);
    if (!head.append(e.id, e.name, value)) return noRoom;
  }
  for (let i = 0; i < add.length; i++) {
    const e = add[i]!;
    const value = e.value.render(requestHead, facts);
    if (!head.append(e.id, e.name, value)) return noRoom;
  }
  return 0;
}

function removeField(head: Head, id: number, nameLower: string): void {
  if (id === field.other) head.removeName(nameLower);
  else head.removeAll(id);
}

/** `saves` collects what a response needs of the request head; null for a request. */
function compileEdit(plan: HeaderEditPlan, saves: Template[] | null): HeaderEdit | null {
  if (plan.set.length + plan.add.length + plan.remove.length === 0) return null;
  const compile = ({ name, value }: { name: string; value: string }): FieldEdit => {
    assert(checkFieldName(name) === null && checkFieldValue(value) === null, `the plan's edit of header ${name} was checked`);
    const nameLower = name.toLowerCase();
    const compiled = template(value);
    return { name, nameLower, id: fieldIdOf(nameLower), value: saves === null ? compiled : compiled.detach(saves) };
  };
  return {
    remove: plan.remove.map((name) => ({ nameLower: name.toLowerCase(), id: fieldIdOf(name.toLowerCase()) })),
    set: plan.set.map(compile),
    add: plan.add.map(compile),
  };
}
