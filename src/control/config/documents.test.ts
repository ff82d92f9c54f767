/** What is written about the config stays true: examples run, every code and key has its words, the schema fits the examples. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exampleFiles } from '../../../tests/support/certificates.ts';
import { codes, jsonSchema, parseConfig } from './config.ts';

const root = join(import.meta.dirname, '../../..');
const examples = join(root, 'examples');
const around = { node: 'lb-a', cores: 2, ...exampleFiles() };

// Those of the simulator are scenarios and no configurations.
const written = readdirSync(examples, { recursive: true, encoding: 'utf8' });
for (const name of written.filter((file) => file.endsWith('.yaml') && !file.startsWith('simulate'))) {
  test(`examples/${name} is right without a warning, and its tests pass`, () => {
    const result = parseConfig(readFileSync(join(examples, name), 'utf8'), name, {}, around);
    assert.deepEqual(result.faults, []);
    assert.deepEqual(result.warnings, []);
    assert.deepEqual(result.runTests(), []);
    assert.ok(result.summary.tests > 0, 'it shows what it does by tests');
  });
}

test('every code has a section in docs/errors.md, and no section is of a code that is gone', () => {
  const sections = [...readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^### `([a-z-]+)`/gm)].map((m) => m[1]);
  assert.deepEqual(sections.toSorted(), Object.keys(codes).toSorted());
});

test('every key of the config is in docs/config.md', () => {
  const text = readFileSync(join(root, 'docs/config.md'), 'utf8');
  const missing = [...keysOf(jsonSchema('2020-12'))].filter((key) => !new RegExp(`[\`.\\s{,]${key}[\`:\\s,.}]`).test(text));
  assert.deepEqual(missing, []);
});

for (const draft of ['7', '2020-12'] as const) {
  test(`the JSON Schema of draft ${draft} has a description for every key, and lets nothing but x- keys through`, () => {
    const schema = jsonSchema(draft);
    assert.match(String(schema.$schema), draft === '7' ? /draft-07/ : /2020-12/);
    let objects = 0;
    visit(schema, (node, path) => {
      if (typeof node.properties !== 'object') return;
      objects++;
      assert.equal(node.additionalProperties, false, path);
      assert.deepEqual(node.patternProperties, { '^x-': {} }, path);
      for (const [key, child] of Object.entries(node.properties as Record<string, { description?: string }>))
        assert.ok(child.description, `${path}.${key} has no description`);
    });
    assert.ok(objects > 20);
  });
}

type Schema = Record<string, unknown>;

function visit(node: unknown, see: (node: Schema, path: string) => void, path = ''): void {
  if (typeof node !== 'object' || node === null) return;
  if (!Array.isArray(node)) see(node as Schema, path);
  for (const [key, child] of Object.entries(node)) visit(child, see, `${path}/${key}`);
}

function keysOf(schema: Schema): Set<string> {
  const keys = new Set<string>();
  visit(schema, (node) => {
    if (typeof node.properties === 'object') for (const key of Object.keys(node.properties!)) keys.add(key);
  });
  return keys;
}
