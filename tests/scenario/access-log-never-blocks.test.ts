/** Harm prevented: a full disk or a reader that stalls stops the traffic, or takes memory without end. Lines are dropped and counted instead. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, Load } from '../support/load.ts';
import { rssBytes } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirOptions } from '../support/weir.ts';

async function withLog(
  to: string | ((folder: string) => string),
  act: (weir: Weir) => Promise<void>,
  more: Partial<WeirOptions> = {},
): Promise<void> {
  const endpoint = await KeyedEndpoint.start('e');
  const weir = await Weir.start({
    config: (ports) =>
      simpleConfig(ports, [endpoint.address], {
        top: { logs: { access: { to: typeof to === 'string' ? to : to(more.folder ?? ''), format: 'json' } } },
      }),
    ...more,
  });
  try {
    await act(weir);
  } finally {
    await weir.stop();
    await endpoint.kill();
  }
}

async function askMany(weir: Weir): Promise<void> {
  const result = await new Load({ port: weir.port, connections: 8, requests: 3000 }).done(60_000);
  assert.equal(result.counts.ok, 3000, describeLoad(result));
}

test('a full disk drops lines, counts them, and fails no request', async () => {
  await withLog('/dev/full', async (weir) => {
    await askMany(weir);
    await until('dropped lines to be counted', async () => (await weir.metric('weir_log_lines_dropped_total')) >= 2900);
  });
});

test('a reader that stalls drops lines, counts them, and costs no memory', async () => {
  const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  const pipe = join(folder, 'log.pipe');
  execFileSync('mkfifo', [pipe]);
  // Holds the pipe open and never reads. Opened for both, it waits for nobody.
  const reader = openSync(pipe, 'r+');
  try {
    await withLog(pipe, async (weir) => {
      await askMany(weir);
      const before = rssBytes(weir.workers[0]!);
      for (let i = 0; i < 3; i++) await askMany(weir);
      await until('dropped lines to be counted', async () => (await weir.metric('weir_log_lines_dropped_total')) > 1000);
      assert.ok(rssBytes(weir.workers[0]!) - before < 30_000_000);
    });
  } finally {
    closeSync(reader);
    execFileSync('rm', ['-r', folder]);
  }
});

test('every request makes one line of JSON, and SIGUSR1 reopens a file that was moved', async () => {
  const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  const file = join(folder, 'access.log');
  const lines = (path: string): Record<string, unknown>[] =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  try {
    await withLog(
      file,
      async (weir) => {
        await get(weir.port, '/keyed/first/10?q=1&token=secret', { 'user-agent': 'quote " and \\ slash' });
        await get(weir.port, '/keyed/second/20');
        const [first] = await until('two lines', () => {
          const seen = lines(file);
          return seen.length === 2 && seen;
        });
        assert.equal(first!['method'], 'GET');
        assert.equal(first!['path'], '/keyed/first/10');
        assert.equal(first!['status'], 200);
        assert.equal(first!['out'], 10);
        assert.doesNotMatch(readFileSync(file, 'utf8'), /secret/);
        renameSync(file, `${file}.1`);
        weir.signal('SIGUSR1');
        await until('a line in the new file', async () => {
          await get(weir.port, '/keyed/third/30');
          return lines(file).some((line) => line['path'] === '/keyed/third/30');
        });
      },
      { folder },
    );
  } finally {
    execFileSync('rm', ['-r', folder]);
  }
});
