/** FilterStep: what one filter of a route does to a request. The filter is the data plane's own, and takes no notice. */
import type { ClientAddress } from '../../base/client-address.ts';
import { faults } from '../../base/faults.ts';
import type { Head } from '../../base/head.ts';
import { buildFilters, type RequestFacts } from '../../filter/filter.ts';
import { liveFields } from '../../route/route.ts';
import type { TableReader } from '../../state/doors.ts';
import type { FilterPlan } from '../../state/plan.ts';
import { cidrText, durationText } from './words.ts';

export interface FilterStep {
  name: string;
  kind: FilterPlan['kind'];
  /** Status it would answer; 0: it lets the request pass. */
  status: number;
  /** Word of the fault it would answer with; '' for none. */
  reason: string;
  /** What it does, or why it answers. */
  effect: string[];
}

/** Lets one filter at the head, and says what became of it. `facts.nowMs` is the table's clock. */
export function filterStep(
  filter: FilterPlan,
  head: Head,
  client: ClientAddress,
  facts: RequestFacts,
  table: TableReader,
): FilterStep {
  const before = fieldsOf(head);
  const parts = { limits: table.limits, filterDecided: () => {} };
  // A shadow's opinion is what it would do in earnest.
  const isShadow = filter.kind !== 'headers' && filter.isShadow;
  const opinion = buildFilters({ filters: [isShadow ? { ...filter, isShadow: false } : filter] }, parts).peek(
    head,
    client,
    facts,
  );
  const failed = isShadow ? 0 : opinion;
  const step = {
    name: filter.name,
    kind: filter.kind,
    status: faults[failed]!.status,
    reason: failed === 0 ? '' : faults[failed]!.reason,
  };
  const shadow = isShadow ? ' (shadow: it passes anyhow)' : '';
  switch (filter.kind) {
    case 'access': {
      const allow = filter.allow.length === 0 ? 'everybody else' : filter.allow.map(cidrText).join(', ');
      const deny = filter.deny.length === 0 ? 'nobody' : filter.deny.map(cidrText).join(', ');
      const says = opinion === 0 ? 'may pass' : `may not pass${shadow}`;
      return { ...step, effect: [`${client.text} ${says}: allows ${allow}, denies ${deny}`] };
    }
    case 'rateLimit': {
      const rate = `${filter.requests} per ${durationText(filter.windowMs)} for each ${filter.key}`;
      const says =
        opinion === 0
          ? `may pass, and ${facts.limitRemaining} more at once`
          : `limited${shadow}: the next in ${durationText(facts.retryAfterS * 1000)}`;
      return {
        ...step,
        effect: [`${says}: allows ${rate}${filter.algorithm === 'token-bucket' ? `, ${filter.burst} at once` : ''}`],
      };
    }
    case 'headers': {
      if (failed !== 0) return { ...step, effect: [faults[failed]!.text] };
      const { set, add, remove } = filter.response;
      const response = [
        ...remove.map((name) => `response loses ${name}`),
        ...set.map(({ name, value }) => `response gets ${name}: ${value}`),
        ...add.map(({ name, value }) => `response gets one more ${name}: ${value}`),
      ];
      return { ...step, effect: [...difference(before, fieldsOf(head)), ...response] };
    }
  }
}

function fieldsOf(head: Head): string[] {
  const fields = liveFields(head).map(([name, value]) => `${name}: ${value}`);
  return [`host: ${head.text(head.authorityStart, head.authorityEnd)}`, ...fields];
}

function difference(before: readonly string[], after: readonly string[]): string[] {
  const nameOf = (line: string): string => line.slice(0, line.indexOf(':')).toLowerCase();
  const left = [...after];
  const gone: string[] = [];
  for (const line of before) {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    else gone.push(nameOf(line));
  }
  const replaced = new Set(left.map(nameOf));
  return [
    ...new Set(gone.filter((name) => !replaced.has(name)).map((name) => `loses ${name}`)),
    ...left.map((line) => `gets ${line}`),
  ];
}
