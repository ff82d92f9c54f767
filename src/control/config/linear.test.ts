import assert from 'node:assert/strict';
import { test } from 'node:test';
import { regexFault } from './linear.ts';

/** Longest path a listener takes by default. */
const LENGTH = 8192;
/** Quadratic matching of 8 KiB takes 30 to 200 ms here, linear matching less than 1. */
const MS_MAX = 20;

const accepted = [
  '/v[0-9]+/.*',
  '/users/[0-9]+',
  '/[^/]+/[^/]+/edit',
  '.*\\.(?:png|jpg|gif)',
  '^/a.*$',
  '/(?:en|de|fr)(?:/.*)?',
  '[a-z]+[0-9]*',
  '/(?:ab)*c',
  '/\\d{4}-\\d{2}-\\d{2}/[\\w-]+\\.html',
  '/x{2,}y',
  'application/[a-z]+(?:\\+json)?',
  '(?<lang>[a-z]{2})/.*',
  '[^\\x00-\\x1f]*z',
];

const refused: [string, RegExp][] = [
  ['(a+)+b', /repeat/],
  ['(?:a|a)*b', /alternatives/],
  ['(?:a|ab)*c', /alternatives/],
  ['(?:a*)*', /repeat/],
  ['(?:[a-z]+/)*x', /repeat/],
  ['.*.*x', /give characters back/],
  ['.*a.*b', /give characters back/],
  ['[a-z]*[a-z0-9]*x', /give characters back/],
  ['[a-z]*(?:b?)[a-z]*x', /give characters back/],
  ['[a-z]*[0-9]*[a-z]*x', /give characters back/],
  ['(?:a?){30}a{30}', /repeat/],
  ['a?a?a?a?a?a?a?a?a?a?aaaaaaaaaa', /choices/],
  ['(.)\\1', /refers back/],
  ['(?<x>.)\\k<x>', /refers back/],
  ['(?=a)a', /looks ahead/],
  ['(?<!a)b', /looks ahead or behind/],
  ['a{1,1000}b', /count/],
  ['(', /not a regular expression/],
  ['', /empty/],
  ['a'.repeat(600), /at most/],
];

const hostile = [
  'a'.repeat(LENGTH),
  '/'.repeat(LENGTH),
  '/a'.repeat(LENGTH / 2),
  '1'.repeat(LENGTH),
  `/v${'1'.repeat(LENGTH)}`,
  '.png'.repeat(LENGTH / 4),
  `/${'ab'.repeat(LENGTH / 2)}`,
  `/x${'x'.repeat(LENGTH)}`,
  `application/${'a'.repeat(LENGTH)}`,
  'a1'.repeat(LENGTH / 2),
  `${'a'.repeat(LENGTH)}!`,
];

for (const source of accepted) {
  test(`the pattern ${source} is accepted, and matches hostile input of 8 KiB without delay`, () => {
    assert.equal(regexFault(source), null);
    const regex = new RegExp(`^(?:${source})$`, 's');
    for (const input of hostile) {
      const best = Math.min(...[1, 2, 3].map(() => elapsed(() => regex.test(input))));
      assert.ok(best < MS_MAX, `${best} ms for ${input.slice(0, 20)}`);
    }
  });
}

for (const [source, why] of refused) {
  test(`the pattern ${source.slice(0, 40)} is refused, with the reason`, () => {
    const fault = regexFault(source);
    assert.ok(fault !== null);
    assert.match(fault.message, why);
  });
}

test('a refused pattern really would be slow', () => {
  const regex = /^(?:.*a.*a.*b)$/s;
  const input = 'a'.repeat(400);
  const cubic = elapsed(() => regex.test(input));
  const single = Math.min(...[1, 2, 3].map(() => elapsed(() => /^(?:.*b)$/s.test(input))));
  assert.ok(cubic > 20 * single, `${cubic} ms against ${single} ms`);
});

function elapsed(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}
