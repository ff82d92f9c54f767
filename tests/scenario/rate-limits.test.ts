/**
 * Harm prevented: one client takes what all share; or a limit counts per worker and lets through as many times too much as there are workers; or it limits the wrong
 * ones; or the crash of a worker opens or locks it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent, createServer, type IncomingHttpHeaders, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { peersOf } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { Weir } from '../support/weir.ts';

const RATE = 100;
const BURST = 20;
/** So many that the kernel gives some to each worker. */
const CLIENTS = 24;
const FLOOD_MS = 1500;
/** On a machine that is very busy a flood goes on until it has met its limit. */
const FLOOD_MS_MAX = 20_000;
/** Of an answer. A machine may stand still for seconds. */
const PATIENCE_MS = 15_000;
/** An empty bucket is full again after so long: what would come later is lost. */
const FILL_MS = (1000 * BURST) / RATE;
/** Races between workers: each may let one more through when a row changes hands. */
const SLACK = 2;

let endpoint: Server;
let weir: Weir;
/** Requests that came to the endpoint, by path. */
const arrived = new Map<string, number>();

before(async () => {
  endpoint = createServer((incoming, response) => {
    const path = incoming.url!;
    arrived.set(path, (arrived.get(path) ?? 0) + 1);
    response.end('ok');
  });
  await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(endpoint.address() as AddressInfo).port}`;
  const limit = { rate: `${RATE}/s`, burst: BURST, key: '{client.ip}' };
  weir = await Weir.start({
    workers: 2,
    config: (ports) => ({
      version: 1,
      process: { drain: { notReadyFor: '0s', graceful: '2s', hardStop: '5s' } },
      admin: { listen: [`127.0.0.1:${ports.admin}`] },
      logs: { access: { to: './access.log', format: 'json' } },
      listeners: { web: { listen: `127.0.0.1:${ports.web}` } },
      pools: { pool: { endpoints: [address] } },
      filters: {
        bucket: { rateLimit: limit },
        crash: { rateLimit: limit },
        window: { rateLimit: { rate: '60/m', algorithm: 'sliding-window', key: 'all' } },
        keyed: { rateLimit: { rate: '6/h', burst: 3, key: '{request.header.x-api-key}', headers: true } },
        shadow: { rateLimit: { rate: '6/h', burst: 3, key: '{client.ip}', mode: 'shadow' } },
        inside: { access: { deny: ['127.0.0.0/8'], mode: 'shadow' } },
      },
      routes: [
        { path: '/bucket', to: 'pool', use: ['bucket'] },
        { path: '/crash', to: 'pool', use: ['crash'] },
        { path: '/window', to: 'pool', use: ['window'] },
        { path: '/keyed', to: 'pool', use: ['keyed'] },
        { path: '/shadow', to: 'pool', use: ['shadow', 'inside'] },
        { path: '/free', to: 'pool' },
      ],
    }),
  });
});
after(async () => {
  await weir?.stop();
  endpoint?.closeAllConnections();
  endpoint?.close();
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
}
function ask(path: string, headers: Record<string, string> = {}, agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: weir.port, path, headers, agent, timeout: PATIENCE_MS }, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers }));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to GET ${path} within ${PATIENCE_MS} ms`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/**
 * Many clients of one address ask as fast as they can. `failed`: connections that broke. `slackMs`: in which nobody was refused for so long that the bucket may
 * have been full.
 */
async function flood(path: string, isLimited: boolean, during: () => void = () => {}) {
  const startedMs = performance.now();
  const counts = { passed: 0, limited: 0, failed: 0, other: 0, ms: 0, slackMs: 0, mostAllowed: 0, leastAllowed: 0 };
  let refusedMs = startedMs;
  const refuse = (): void => {
    const gapMs = performance.now() - refusedMs;
    if (gapMs > FILL_MS) counts.slackMs += gapMs;
    refusedMs += gapMs;
  };
  let meetsBoth = false;
  const isOver = (): boolean => {
    const ms = performance.now() - startedMs;
    return ms > FLOOD_MS_MAX || (meetsBoth && ms >= FLOOD_MS && (!isLimited || counts.limited > 0));
  };
  const clients = Array.from({ length: CLIENTS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!isOver()) {
      try {
        const { status } = await ask(path, {}, agent);
        if (status === 200) counts.passed++;
        else if (status === 429) {
          counts.limited++;
          refuse();
        } else counts.other++;
      } catch {
        counts.failed++;
      }
    }
    agent.destroy();
  });
  await until('connections on both workers', () => weir.workers.filter((pid) => peersOf(pid, weir.port).size > 0).length === 2);
  during();
  meetsBoth = true;
  await Promise.all(clients);
  counts.ms = performance.now() - startedMs;
  refuse();
  counts.mostAllowed = BURST + (RATE * counts.ms) / 1000;
  counts.leastAllowed = BURST + (RATE * (counts.ms - counts.slackMs)) / 1000;
  return counts;
}

test('clients of one address get their burst and their rate over both workers, not per worker', async () => {
  // Cold workers stall.
  await flood('/free', false);
  const counts = await flood('/bucket', true);
  const { passed, limited, mostAllowed, leastAllowed } = counts;
  assert.ok(passed <= mostAllowed + SLACK, JSON.stringify(counts));
  assert.ok(passed >= 0.8 * leastAllowed, JSON.stringify(counts));
  assert.ok(limited > 0 && counts.failed + counts.other === 0, JSON.stringify(counts));
  assert.equal(arrived.get('/bucket'), passed, 'what is refused costs the endpoint nothing');
  await until('the decisions to be told', async () => {
    const told = await Promise.all(
      ['allowed', 'limited'].map((decision) => weir.metric('weir_limit_decisions_total', { filter: 'bucket', decision })),
    );
    return told[0] === passed && told[1] === limited;
  });
  assert.equal((await ask('/free')).status, 200, 'routes without the filter are not limited');
});

test('a refused client is told when to come again', async () => {
  const startedMs = performance.now();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const limited = await until('a refusal', async () => {
    for (let i = 0; i < 61; i++) {
      const answer = await ask('/window', {}, agent);
      if (answer.status === 429) return answer;
    }
    return null;
  });
  agent.destroy();
  // Where the window ends meanwhile one more for each second, begun or over.
  const passed = arrived.get('/window')!;
  const most = 61 + (performance.now() - startedMs) / 1000;
  assert.ok(passed >= 60 && passed <= most, `${passed} passed, at most ${most}`);
  const retryAfterS = Number(limited.headers['retry-after']);
  assert.ok(
    Number.isInteger(retryAfterS) && retryAfterS >= 1 && retryAfterS <= 62,
    `retry-after: ${limited.headers['retry-after']}`,
  );
});

test('keys do not disturb each other, and one without a key is its address', async () => {
  const statuses = async (headers: Record<string, string>): Promise<number[]> => {
    const said: number[] = [];
    for (let i = 0; i < 5; i++) said.push((await ask('/keyed', headers)).status);
    return said;
  };
  for (const headers of [{ 'x-api-key': 'one' }, { 'X-Api-Key': 'two' }, {}])
    assert.deepEqual(await statuses(headers as Record<string, string>), [200, 200, 200, 429, 429]);
  const fresh = await ask('/keyed', { 'x-api-key': 'three' });
  assert.equal(fresh.headers['ratelimit-policy'], '"keyed";q=6;w=3600');
  assert.equal(fresh.headers['ratelimit'], '"keyed";r=2;t=600');
  const spent = await ask('/keyed', { 'x-api-key': 'one' });
  assert.match(String(spent.headers['ratelimit']), /^"keyed";r=0;t=([1-9]|[1-9]\d|[1-5]\d\d|600)$/);
  assert.equal(spent.headers['retry-after'], /t=(\d+)/.exec(String(spent.headers['ratelimit']))![1]);
});

test('in shadow everything passes, and what would have been refused is counted and logged', async () => {
  for (let i = 0; i < 10; i++) {
    const { status, headers } = await ask('/shadow');
    assert.equal(status, 200);
    assert.equal(headers['ratelimit'], undefined);
  }
  const decisions = (name: string, filter: string, decision: string) => weir.metric(name, { filter, decision });
  await until('the decisions to be told', async () => {
    const told = [
      await decisions('weir_limit_decisions_total', 'shadow', 'would-limit'),
      await decisions('weir_limit_decisions_total', 'shadow', 'allowed'),
      await decisions('weir_filter_decisions_total', 'inside', 'would-deny'),
    ];
    return told.join() === '7,3,10';
  });
  assert.equal(await decisions('weir_limit_decisions_total', 'shadow', 'limited'), 0);
  const log = await until('the lines', () => {
    const lines = readFileSync(join(weir.folder, 'access.log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"path":"/shadow"'));
    return lines.length === 10 && lines;
  });
  const said = log.map((line) => (JSON.parse(line) as { limit: string }).limit);
  assert.deepEqual([...said].sort(), [
    ...Array<string>(3).fill('shadow:allowed'),
    ...Array<string>(7).fill('shadow:would-limit'),
  ]);
});

test('a reload that leaves a limit as it is leaves what was spent', async () => {
  assert.equal((await ask('/keyed', { 'x-api-key': 'one' })).status, 429);
  await weir.reload(JSON.parse(readFileSync(weir.configPath, 'utf8')));
  assert.equal((await ask('/keyed', { 'x-api-key': 'one' })).status, 429);
});

test('a worker that is killed resets and locks nothing', async () => {
  let victim = 0;
  const counts = await flood('/crash', true, () => {
    victim = weir.workers[0]!;
    process.kill(victim, 'SIGKILL');
  });
  await until('the killed one to be gone', () => !weir.workers.includes(victim));
  assert.ok(counts.passed <= counts.mostAllowed + SLACK, JSON.stringify(counts));
  // Answers that were under way on the killed worker are lost, and with them the tokens they took.
  assert.ok(counts.passed + counts.failed >= 0.8 * counts.leastAllowed, JSON.stringify(counts));
  assert.ok(counts.limited > 0 && counts.other === 0, JSON.stringify(counts));
  await until('a successor that decides', () => weir.workers.length === 2);
  await until('a token', async () => (await ask('/crash')).status === 200);
});
