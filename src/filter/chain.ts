/**
 * FilterChain: the filters of one route, compiled, in the order the route names them.
 */

import { assert } from '../base/assert.ts';
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { field, fieldIdOf, type Head } from '../base/head.ts';
import type { FilterPlan, HeaderEditPlan } from '../state/plan.ts';
import type { RequestFacts } from './facts.ts';
import { checkFieldName, checkFieldValue, isAuthority } from './field-text.ts';
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
}

/** One filter: exactly one of the two is there. */
interface Step {
  readonly access: AccessRule | null;
  readonly request: HeaderEdit | null;
}

export class FilterChain {
  /** Nothing is to be done to any message. */
  readonly isEmpty: boolean;
  private readonly steps: readonly Step[];
  private readonly responses: readonly HeaderEdit[];
  /** Parts of response values that need the request head: they are rendered while it is there. */
  private readonly saves: readonly Template[];

  constructor(filters: readonly FilterPlan[]) {
    const saves: Template[] = [];
    const responses: HeaderEdit[] = [];
    this.steps = filters.map((plan): Step => {
      if (plan.kind === 'access') {
        return { access: { allow: new CidrSet(plan.allow), deny: new CidrSet(plan.deny) }, request: null };
      }
      if (plan.kind !== 'headers') return { access: null, request: null };
      const response = compileEdit(plan.response, saves);
      if (response !== null) responses.push(response);
      return { access: null, request: compileEdit(plan.request, null) };
    });
    this.responses = responses;
    this.saves = saves;
    this.isEmpty = this.steps.length === 0;
  }

  /** What is done to a request. Returns 0 or a fault number; after a fault the request must not go on. */
  request(head: Head, client: ClientAddress, facts: RequestFacts): number {
    if (this.isEmpty) return 0;
    const { steps, saves } = this;
    for (let i = 0; i < saves.length; i++) facts.saved[i] = saves[i]!.render(head, facts);
    for (let i = 0; i < steps.length; i++) {
      const { access, request } = steps[i]!;
      if (access !== null) {
        if (access.deny.has(client) || (access.allow.count > 0 && !access.allow.has(client))) return fault.requestDenied;
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
