/** Every scenario of examples/simulate, run as people run it, and held to what it expects and to what docs/choosing.md says of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { shownPart, shownScenarios } from '../../examples/simulate/choosing.ts';
import { shellIn } from '../../tests/support/shell.ts';
import { exit } from './shell.ts';
import { simulate } from './simulate.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-simulate-'));
after(() => rmSync(folder, { recursive: true }));
const root = join(import.meta.dirname, '../..');
const examples = join(root, 'examples/simulate');

const pages = new Map(shownScenarios().map(({ scenario, svg, text }) => [scenario, { svg, text }]));
for (const name of readdirSync(examples).filter((file) => file.endsWith('.yaml'))) {
  test(`examples/simulate/${name} shows what it says it shows, and docs/choosing.md says the same`, async () => {
    const { shell, said } = shellIn(folder);
    const code = await simulate({ scenario: join(examples, name), svg: 'example.svg' }, shell);
    const { out, err } = said;
    assert.equal(err, '');
    assert.deepEqual(out.match(/^MISSED.*$/gm), null);
    assert.ok(out.match(/^met .*$/gm)!.length > 3, 'it expects something');
    assert.equal(code, exit.done);
    const page = pages.get(`examples/simulate/${name}`);
    assert.ok(page, 'the page shows it');
    assert.equal(page.text, shownPart(out), 'run node examples/simulate/choosing.ts');
    assert.equal(readFileSync(join(root, page.svg), 'utf8'), readFileSync(join(folder, 'example.svg'), 'utf8'), page.svg);
  });
}
