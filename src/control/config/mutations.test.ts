/**
 * Whatever is in a config file, weir goes on: each of 1000 damaged configs gives a plan, or at least one error with a place in the text. A
 * reload reads the file of a running balancer, so an exception here would be an outage.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify as toToml } from 'smol-toml';
import { parse as fromYaml } from 'yaml';
import { exampleFiles } from '../../../tests/support/certificates.ts';
import { Prng } from '../../base/prng.ts';
import { formatFaults, parseConfig } from './config.ts';

const ROUNDS = 1000;
const around = { node: 'lb-a', cores: 2, ...exampleFiles() };
const folder = join(import.meta.dirname, '../../../examples');
const yamls = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => readFileSync(join(folder, name), 'utf8'));
const corpus = yamls.flatMap((text): [string, string][] => [
  ['a.yaml', text],
  ['a.json', JSON.stringify(fromYaml(text), null, 1)],
  ['a.toml', toToml(fromYaml(text))],
]);
const spice = [
  '{',
  '}',
  '[',
  ']',
  ':',
  '- ',
  ',',
  '"',
  "'",
  '#',
  '&a ',
  '*a',
  '<<: ',
  '\n',
  '\t',
  '${X}',
  '${',
  '~',
  '*',
  '|',
  '!!binary ',
  '__proto__',
  'null',
  '1e999',
  '-1',
  '0x',
  '\u0000',
  '\ud800',
  '\u2028',
  '\r\n',
  '= ',
  '[[',
];

test(`${ROUNDS} damaged configs never throw, and give a plan or an error with a place`, () => {
  let plans = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const random = new Prng(round + 1);
    const [file, text] = corpus[random.below(corpus.length)];
    const damaged = damage(text, random);
    const result = parseConfig(damaged, file, { X: 'x' }, around);
    const where = `round ${round}`;
    if (result.plan !== null) {
      plans++;
      assert.deepEqual(result.faults, [], where);
      result.runTests();
      JSON.stringify(result.plan);
    } else {
      assert.ok(result.faults.length > 0, where);
    }
    const lines = damaged.split('\n');
    for (const fault of [...result.faults, ...result.warnings]) {
      assert.ok(fault.line >= 1 && fault.line <= lines.length, `${where}: line ${fault.line}`);
      assert.ok(fault.col >= 1 && fault.col <= lines[fault.line - 1].length + 1, `${where}: column ${fault.col}`);
      assert.ok(fault.endLine > fault.line || fault.endCol >= fault.col, where);
      assert.equal(fault.file, file, where);
    }
    formatFaults(result.faults);
  }
  // Were all of them refused, the damage would say nothing of plans; were none, nothing of errors.
  assert.ok(plans > ROUNDS / 50 && plans < ROUNDS, `${plans} plans`);
});

function damage(text: string, random: Prng): string {
  let out = text;
  for (let times = 1 + random.below(3); times > 0; times--) {
    const tokens = out.split(/(\s+|[{}[\],:"])/);
    const at = random.below(tokens.length);
    switch (random.below(7)) {
      case 0:
        tokens.splice(at, 1);
        break;
      case 1:
        tokens.splice(at, 0, tokens[at]);
        break;
      case 2:
        tokens[at] = tokens[random.below(tokens.length)];
        break;
      case 3:
        tokens[at] = spice[random.below(spice.length)];
        break;
      case 4:
        tokens.splice(at, 0, spice[random.below(spice.length)]);
        break;
      case 5:
        tokens.length = at + 1;
        break;
      default:
        tokens[at] = Array.from({ length: 8 }, () => String.fromCharCode(random.below(0x300))).join('');
    }
    out = tokens.join('');
  }
  return out;
}
