import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { generate, generatedPath } from './offsets.ts';

// The generated file is the x64 one; on another machine some numbers of libc differ.
test('offsets: constants.generated.ts is what the headers of this machine say', { skip: process.arch !== 'x64' }, (t) => {
  let fresh: string;
  try {
    fresh = generate();
  } catch (error) {
    t.skip(`no C compiler or kernel headers here: ${(error as Error).message.split('\n')[0]}`);
    return;
  }
  assert.equal(readFileSync(generatedPath, 'utf8'), fresh, 'run: node tool/offsets.ts');
});
