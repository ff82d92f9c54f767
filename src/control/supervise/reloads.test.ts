import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainPlan } from '../../state/plain-pool.ts';
import type { Plan } from '../../state/plan.ts';
import type { ConfigResult } from '../config/config.ts';
import { makeEventLog } from './events.ts';
import type { RollOutResult } from './fleet.ts';
import { Reloads } from './reloads.ts';

const configuredOf = (pool: string, over: Partial<Plan> = {}): Plan =>
  ({
    ...plainPlan,
    epoch: 0,
    node: 'n',
    listeners: [],
    routes: [],
    pools: [{ name: pool, endpoints: [] }],
    ...over,
  }) as unknown as Plan;

const poolsOf = (plan: Plan): string => plan.pools.map(({ name }) => name).join();

/** An instance that runs with one worker on pool `old`, and the configuration says `files`. */
class World {
  files: Partial<ConfigResult> = { plan: configuredOf('new') };
  workersInFile = 1;
  answer: RollOutResult = { ok: true };
  isLeaving = false;
  /** What was done, in order. */
  readonly done: string[] = [];
  readonly said: string[] = [];
  readonly told: string[] = [];
  readonly events = makeEventLog({ isTerminal: false, color: false, isJournal: false, write: () => {} });
  readonly plans = {
    inForce: configuredOf('old', { epoch: 1 }) as Plan | null,
    configured: configuredOf('old'),
    make: (configured: Plan): Plan | string => (this.room === null ? { ...configured, epoch: 2 } : this.room),
    discard: (plan: Plan) => void this.done.push(`discard ${poolsOf(plan)}`),
    putInForce: (plan: Plan, configured: Plan) => {
      this.done.push(`in force ${poolsOf(plan)}`);
      this.plans.inForce = plan;
      this.plans.configured = configured;
    },
  };
  /** Why no plan can be made. */
  room: string | null = null;
  readonly reloads: Reloads;

  constructor(isTerminal = false) {
    this.reloads = new Reloads({
      load: async () => ({
        process: { workers: this.workersInFile } as ConfigResult['process'],
        faults: [],
        warnings: [],
        files: ['/weir.yaml'],
        plan: null,
        summary: {} as ConfigResult['summary'],
        runTests: () => [],
        ...this.files,
      }),
      format: (faults) => faults.map(({ message }) => message).join(),
      say: isTerminal ? (text) => void this.said.push(text) : null,
      events: this.events,
      notifier: { reloading: () => void this.told.push('RELOADING=1'), tell: (...lines) => void this.told.push(...lines) },
      names: {
        follow: async (plan) => void this.done.push(`names of ${poolsOf(plan)}`),
        followBriefly: async (plan) => void this.done.push(`names of ${poolsOf(plan)}`),
      },
      plans: this.plans,
      workers: 1,
      isLeaving: () => this.isLeaving,
      watch: { set: (files) => void this.done.push(`watch ${files.join()}`) },
      bring: async (plan) => {
        this.done.push(`bring ${poolsOf(plan)}`);
        return this.answer;
      },
      onForce: (plan) => {
        this.done.push(`follow ${poolsOf(plan)}`);
        return ['web|:80'];
      },
      status: () => 'STATUS=well',
    });
  }

  heard(): string[] {
    return this.events.recent().map(({ event }) => event);
  }
}

const fault = (message: string) => ({ message }) as ConfigResult['faults'][number];

test('a reload reads, finds addresses, brings the plan and puts it in force, in this order', async () => {
  const world = new World();
  assert.deepEqual(await world.reloads.load(), { ok: true, epoch: 2 });
  assert.deepEqual(world.done, [
    'watch /weir.yaml',
    'names of new,old',
    'bring new',
    'in force new',
    'names of new',
    'follow new',
  ]);
  assert.deepEqual(world.told, ['RELOADING=1', 'READY=1', 'STATUS=well']);
  assert.deepEqual(world.heard(), ['reloaded']);
  assert.equal(world.events.recent()[0]!.fields['closed'], 'web|:80');
  const { succeeded, failed, isLastOk, lastOkAt } = world.reloads.state;
  assert.deepEqual([succeeded, failed, isLastOk], [1, 0, true]);
  assert.ok(lastOkAt > 0);
});

test('a configuration with errors is refused before anybody hears of it, and what its files are is known', async () => {
  const world = new World();
  world.files = { plan: null, faults: [fault('no such pool')] };
  assert.deepEqual(await world.reloads.load(), { ok: false, text: 'no such pool' });
  assert.deepEqual(world.done, ['watch /weir.yaml']);
  assert.deepEqual(world.told, ['RELOADING=1', 'READY=1'], 'systemd waits for no further word');
  const [event] = world.events.recent();
  assert.deepEqual([event!.event, event!.fields['faults']], ['reload_refused', 'no such pool']);
  assert.deepEqual([world.reloads.state.failed, world.reloads.state.isLastOk], [1, false]);
  world.files = { plan: configuredOf('new') };
  assert.equal((await world.reloads.load()).ok, true);
  assert.deepEqual([world.reloads.state.failed, world.reloads.state.isLastOk], [1, true]);
});

test('a person who looks on gets faults and warnings in full, and the event does not repeat them', async () => {
  const world = new World(true);
  world.files = { plan: null, faults: [fault('no such pool')] };
  await world.reloads.load();
  world.files = { plan: configuredOf('new'), warnings: [fault('pool unused')] };
  await world.reloads.load();
  assert.deepEqual(world.said, ['no such pool\n', 'pool unused']);
  assert.equal(world.events.recent()[0]!.fields['faults'], undefined);
});

test('a plan that a worker refuses, or that finds no room, gives back what it had and leaves the old one in force', async () => {
  const world = new World();
  world.answer = { ok: false, reason: 'worker 0: no' };
  assert.deepEqual(await world.reloads.load(), { ok: false, text: 'worker 0: no' });
  assert.deepEqual(world.done.slice(-2), ['bring new', 'discard new']);
  world.room = 'no room';
  assert.deepEqual(await world.reloads.load(), { ok: false, text: 'no room' });
  assert.equal(world.done.filter((what) => what.startsWith('bring')).length, 1);
  assert.equal(poolsOf(world.plans.configured), 'old');
  assert.equal(world.plans.inForce!.epoch, 1);
  assert.deepEqual(world.heard(), ['reload_refused', 'reload_refused']);
});

test('new addresses are taken over without a look at the files, and are no reload', async () => {
  const world = new World();
  assert.deepEqual(await world.reloads.resolve(), { ok: true, epoch: 2 });
  assert.deepEqual(world.done, ['bring old', 'in force old', 'names of old', 'follow old']);
  assert.deepEqual(world.heard(), ['addresses_changed']);
  assert.equal(world.reloads.state.succeeded, 0);
});

test('a reload and new addresses asked for during a reload are one more, and it reads the files', async () => {
  const world = new World();
  const all = [world.reloads.load(), world.reloads.resolve(), world.reloads.load(), world.reloads.resolve()];
  await Promise.all(all);
  assert.deepEqual(
    world.done.filter((what) => what.startsWith('bring')),
    ['bring new', 'bring new'],
  );
  assert.deepEqual(world.heard(), ['reloaded', 'reloaded']);
});

test('what takes a restart is said, and the rest is put in force', async () => {
  const world = new World();
  const listen = [{ kind: 'ip', host: '127.0.0.1', port: 9 } as const];
  world.files = { plan: configuredOf('new', { admin: { listen } }) };
  world.workersInFile = 2;
  assert.equal((await world.reloads.load()).ok, true);
  assert.deepEqual(world.heard(), ['needs_restart', 'needs_restart', 'reloaded']);
});

test('once weir is leaving nothing is changed any more', async () => {
  const world = new World();
  world.isLeaving = true;
  assert.deepEqual(await world.reloads.load(), { ok: false, text: 'weir is stopping' });
  assert.deepEqual(world.done, []);
});
