/** The import law and the other laws that can be read off the source, held against the source; and the checker held against code that breaks them. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { blank, check, exceptions, importsOf } from './law.ts';
import { mayImport } from './rooms.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('every file under src keeps the laws', () => {
  const paths = globSync('src/**/*.ts', { cwd: root });
  assert.ok(paths.length > 20, 'the source was found');
  const broken = paths.flatMap((path) => check(path, read(path)).map((fault) => `${path}: ${fault}`));
  assert.deepEqual(broken, []);
});

test('every exception is still needed', () => {
  for (const { file, says } of exceptions) {
    assert.ok(existsSync(join(root, file)), `${file} exists`);
    // The same text under another name has no exception, so what it breaks must be told there.
    const elsewhere = file.replace(/[^/]+$/, 'elsewhere.ts');
    assert.ok(check(elsewhere, read(file)).includes(says), `${file} ${says}`);
  }
});

test('the table of rooms has no cycle', () => {
  const visit = (room: string, path: readonly string[]): void => {
    assert.ok(!path.includes(room), [...path, room].join(' -> '));
    for (const other of mayImport[room] ?? []) visit(other, [...path, room]);
  };
  for (const room of Object.keys(mayImport)) visit(room, []);
});

describe('the checker', () => {
  const violations: readonly (readonly [path: string, text: string, says: RegExp])[] = [
    ['src/relay/x.ts', "import { open } from '../io/io.ts';", /room relay may not import io/],
    ['src/relay/x.ts', "import type { Engine } from '../io/io.ts';", /room relay may not import io/],
    ['src/relay/x.ts', "export { open } from '../io/io.ts';", /room relay may not import io/],
    ['src/relay/x.ts', "const io = await import('../io/io.ts');", /room relay may not import io/],
    ['src/control/supervise/x.ts', "import { start } from '../../worker/worker.ts';", /room control may not import worker/],
    ['src/worker/x.ts', "import { load } from '../control/config/config.ts';", /room worker may not import control/],
    ['src/worker/x.ts', "import { pick } from '../balance/random.ts';", /not by a front door/],
    ['src/worker/x.ts', "import {\n  type A,\n  pick,\n} from '../balance/random.ts';", /not by a front door/],
    ['src/base/x.ts', "import '../sys/libc.ts';", /room base may not import sys/],
    ['src/io/x.ts', "import { dlopen } from 'node:ffi';", /imports node:ffi outside sys/],
    ['src/io/x.ts', "const ffi = process.getBuiltinModule('node:ffi');", /imports node:ffi outside sys/],
    ['src/route/x.ts', "import { readFileSync } from 'node:fs';", /a pure room imports node:fs/],
    ['src/route/x.ts', "import { z } from 'zod';", /a pure room imports zod/],
    ['src/balance/x.ts', 'const now = Date.now();', /a clock/],
    ['src/balance/x.ts', 'const r = Math.random();', /chance/],
    ['src/balance/x.ts', 'const text = `${Math.random()}`;', /chance/],
    ['src/filter/x.ts', 'export async function f() {}', /a promise/],
    ['src/filter/x.ts', 'setTimeout(f, 1);', /a timer/],
    ['src/protocol/http1/x.ts', 'console.log(1);', /output/],
    ['src/cli/x.ts', 'const all = process.argv;', /reads process.argv/],
    ['src/cli/x.ts', 'const { env } = process;', /reads process.env/],
    ['src/sys/x.ts', 'if (process.env.A) go();', /reads process.env/],
    ['src/base/x.ts', "import { f } from '../../tests/support/f.ts';", /outside src/],
    ['src/base/x.ts', "import { f } from './f.test.ts';", /imports the test/],
    ['src/cellar/x.ts', 'export const a = 1;', /room cellar is not in/],
    ['src/main.ts', "import { w } from './worker/worker.ts';", /room main may not import worker/],
  ];
  for (const [path, text, says] of violations)
    test(`finds in ${path}: ${text.replace(/\s+/g, ' ')}`, () => {
      const faults = check(path, text);
      assert.equal(faults.length, 1, faults.join('; '));
      assert.match(faults[0]!, says);
    });

  const lawful: readonly (readonly [path: string, text: string])[] = [
    ['src/worker/x.ts', "import { pick } from '../balance/balance.ts';"],
    ['src/worker/x.ts', "import type { Random } from '../balance/random.ts';"],
    ['src/worker/x.ts', "import { type Random } from '../balance/random.ts';"],
    ['src/relay/x.ts', "import { Http1Decoder } from '../protocol/http1/http1.ts';"],
    ['src/relay/x.ts', "import { Blocks } from '../base/blocks.ts';"],
    ['src/relay/x.test.ts', "import { MemoryEngine } from '../io/memory.ts';"],
    ['src/sys/x.ts', "import { dlopen } from 'node:ffi';"],
    ['src/balance/x.ts', '// Date.now() and Math.random() are for others.\n/* async */ export const a = 1;'],
    ['src/balance/x.ts', "export const text = 'await the Date';"],
    ['src/filter/x.ts', 'const quote = /["\'`]/; export const b = 1; // Date'],
    ['src/main.ts', "await import('./cli/run.ts'); use(process.argv);"],
  ];
  for (const [path, text] of lawful)
    test(`has nothing against ${path}: ${text.replace(/\s+/g, ' ')}`, () => {
      assert.deepEqual(check(path, text), []);
    });

  test('reads imports over several lines, and none in comments', () => {
    const text = "import {\n  a,\n  type B,\n} from './a.ts';\n// import { c } from './c.ts';\nexport type { D } from './d.ts';";
    assert.deepEqual(importsOf(text), [
      { from: './a.ts', isType: false },
      { from: './d.ts', isType: true },
    ]);
  });

  test('blanks nested templates without losing the code inside', () => {
    assert.equal(blank('a`x${b`y${c}z`}w`+d', false).replace(/ +/g, ' '), 'a b c +d');
  });
});
