import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RLIMIT_NOFILE } from '../../sys/constants.generated.ts';
import { getrlimit, setrlimit } from '../../sys/libc.ts';
import { raiseDescriptorLimit } from './descriptor-limit.ts';

test('the soft limit of descriptors is raised to the hard one, and what is told is never endless', () => {
  const limit = getrlimit(RLIMIT_NOFILE);
  assert.ok(typeof limit !== 'number');
  assert.equal(setrlimit(RLIMIT_NOFILE, 256, limit.hard), 0);
  const told = raiseDescriptorLimit();
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))!;
  assert.equal(soft, hard);
  assert.equal(told, Math.min(hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard), 1_048_576));
});
