/** What a reader would trip over in tracked files: paths of somebody's machine, notes to self, a test that silences all others. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** Words are put together here so that this file does not hold them. */
const trips: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`(?<![\\w.])/(?:${['work', 'home/\\w+', 'Users/\\w+'].join('|')})/`), 'a path of one machine'],
  [new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`), 'a note to self'],
  [new RegExp(`\\b(?:test|it|describe|suite)\\.${'on' + 'ly'}\\(`), 'a test that silences the others'],
  [/^(?:<{7}|>{7}) /m, 'a merge conflict'],
];

export function tripsIn(text: string): string[] {
  return trips.filter(([pattern]) => pattern.test(text)).map(([, what]) => what);
}

test('no tracked file holds a machine path, a note to self or a lone test', () => {
  const paths = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean);
  assert.ok(paths.length > 20, 'git knows the files');
  const found: string[] = [];
  for (const path of paths) {
    if (path === 'package-lock.json') continue;
    let text: string;
    try {
      text = readFileSync(join(root, path), 'latin1');
    } catch {
      continue; // Deleted and not yet committed.
    }
    for (const what of tripsIn(text)) found.push(`${path}: ${what}`);
  }
  assert.deepEqual(found, []);
});

test('the finder finds what it looks for', () => {
  assert.deepEqual(tripsIn(`cd /${'work'}/x`), ['a path of one machine']);
  assert.deepEqual(tripsIn(`see /${'home'}/ann/x`), ['a path of one machine']);
  assert.deepEqual(tripsIn(`// ${'TO' + 'DO'}: later`), ['a note to self']);
  assert.deepEqual(tripsIn(`test.${'on' + 'ly'}('x', f)`), ['a test that silences the others']);
  assert.deepEqual(tripsIn('a network/work/flow, todo list, only(x)'), []);
});
