import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Head, targetForm } from '../base/head.ts';
import type { RewritePlan, RoutePlan } from '../state/plan.ts';
import { applyRewrite, headFromText } from './route.ts';

function rewritten(url: string, rewrite: Partial<RewritePlan>, change: (head: Head) => void = () => {}): string | false {
  const head = headFromText('GET', url, [['x-kept', 'yes']]);
  change(head);
  const route = { rewrite: { stripPrefix: null, addPrefix: null, path: null, host: null, ...rewrite } } as RoutePlan;
  if (!applyRewrite(route, head)) return false;
  assert.equal(head.value(0), 'yes');
  const query = head.queryStart < 0 ? '' : '?' + head.text(head.queryStart, head.queryEnd);
  return `${head.text(head.authorityStart, head.authorityEnd)} ${head.text(head.pathStart, head.pathEnd)}${query}`;
}

test('a prefix is taken off at a segment boundary only', () => {
  assert.equal(rewritten('http://h/v1/items?a=1', { stripPrefix: '/v1' }), 'h /items?a=1');
  assert.equal(rewritten('http://h/v1', { stripPrefix: '/v1' }), 'h /');
  assert.equal(rewritten('http://h/v1/', { stripPrefix: '/v1/' }), 'h /');
  assert.equal(rewritten('http://h/v1x/items', { stripPrefix: '/v1' }), 'h /v1x/items');
  assert.equal(rewritten('http://h/v2/items', { stripPrefix: '/v1' }), 'h /v2/items');
  assert.equal(rewritten('http://h/a%20b/../c', { stripPrefix: '/a%20b' }), 'h /../c');
});

test('a prefix is put before what is left', () => {
  assert.equal(rewritten('http://h/items?a', { addPrefix: '/app' }), 'h /app/items?a');
  assert.equal(rewritten('http://h/', { addPrefix: '/app/' }), 'h /app/');
  assert.equal(rewritten('http://h/v1/items', { stripPrefix: '/v1', addPrefix: '/v2' }), 'h /v2/items');
  assert.equal(rewritten('http://h/v1', { stripPrefix: '/v1', addPrefix: '/v2' }), 'h /v2/');
  assert.equal(rewritten('http://h/x', { addPrefix: '/' }), 'h /x');
});

test('whole path and host are replaced, the query stays', () => {
  assert.equal(rewritten('http://h/x?q=1', { path: '/fixed', host: 'inner.test' }), 'inner.test /fixed?q=1');
  assert.equal(rewritten('http://h/x', {}), 'h /x');
});

test('OPTIONS * keeps its asterisk', () => {
  const starred = (head: Head) => {
    head.form = targetForm.asterisk;
  };
  assert.equal(rewritten('*', { addPrefix: '/app', stripPrefix: '/x', path: '/p' }, starred), ' *');
});

test('a rewrite that does not fit says so', () => {
  const full = (head: Head) => {
    head.room = head.used + 3;
  };
  assert.equal(rewritten('http://h/x', { addPrefix: '/app' }, full), false);
  assert.equal(rewritten('http://h/x', { path: '/long' }, full), false);
  assert.equal(rewritten('http://h/x', { host: 'long' }, full), false);
  assert.equal(rewritten('http://h/v1/x', { stripPrefix: '/v1' }, full), 'h /x');
});
