import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptFor } from './websocket-accept.ts';

test('the example of RFC 6455 §1.3', () => {
  assert.equal(acceptFor('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  assert.notEqual(acceptFor('dGhlIHNhbXBsZSBub25jZg=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});
