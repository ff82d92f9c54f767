/**
 * What clients lose when endpoints fail: weir beside HAProxy, each story told to both in turn. Prints the table of docs/resilience.md.
 *
 *     node bench/failures.bench.ts [--only WORD] [--rounds N]     from the root of the project; about five minutes a round
 */
import { parseArgs } from 'node:util';
import { type BalancerName, haproxyVersion, start } from '../tests/failures/balancer.ts';
import { type Outcome, stories } from '../tests/failures/failures.ts';

const { values } = parseArgs({ options: { only: { type: 'string' }, rounds: { type: 'string', default: '1' } } });
const version = haproxyVersion();
const names: BalancerName[] = version === null ? ['weir'] : ['weir', 'haproxy'];

const cell = (outcomes: readonly Outcome[]): string => {
  const range = (pick: (outcome: Outcome) => number): string => {
    const numbers = outcomes.map(pick);
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    return low === high ? `${low}` : `${low}-${high}`;
  };
  return `${range((o) => o.failed)} failed, ${range((o) => o.slow)} slow of ${range((o) => o.requests)}`;
};

console.log(`| what happens | weir | ${version ?? 'HAProxy (not there)'} |\n|---|---|---|`);
for (const story of stories) {
  if (values.only !== undefined && !story.name.includes(values.only)) continue;
  const missing = story.missing?.() ?? null;
  if (missing !== null) {
    console.log(`| ${story.what} | ${missing} | |`);
    continue;
  }
  const outcomes: Record<BalancerName, Outcome[]> = { weir: [], haproxy: [] };
  for (let round = 0; round < Number(values.rounds); round++)
    for (const name of names) {
      const outcome = await story.tell(start[name]);
      outcomes[name].push(outcome);
      console.error(
        name,
        story.name,
        JSON.stringify({
          ...outcome.load.counts,
          slow: outcome.slow,
          gap: outcome.gapMs,
          by: outcome.load.statuses,
          transitions: outcome.transitions,
        }),
      );
    }
  console.log(`| ${story.what} | ${names.map((name) => cell(outcomes[name])).join(' | ')} |`);
}
