/**
 * What active checks cost: CPU of the control process of a whole weir that checks many endpoints, as a share of one core. Prints the table of
 * docs/health.md.
 *
 *     node bench/checks.bench.ts [--targets 10000] [--interval 5] [--seconds 30] [--only tcp|http|none]
 *
 * The endpoints are loopback addresses behind one process that answers them all. On loopback the kernel charges much of the peer's half of TCP to
 * the caller as well, so real endpoints cost less.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { cpuMs, userMs } from '../tests/support/system.ts';
import { until } from '../tests/support/wait.ts';
import { simpleConfig, Weir } from '../tests/support/weir.ts';

const { values } = parseArgs({
  options: {
    targets: { type: 'string', default: '10000' },
    interval: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '30' },
    only: { type: 'string' },
  },
});
const targets = Number(values.targets);
const seconds = Number(values.seconds);
/** Of one pool: a plan of many pools is what large set-ups have. */
const POOL = 500;

const kinds: Readonly<Record<string, unknown>> = {
  none: undefined,
  tcp: { active: { type: 'tcp', interval: `${values.interval}s` } },
  http: { active: { path: '/healthz', interval: `${values.interval}s` } },
};

/** Connections begun in this network namespace, ever. */
function activeOpens(): number {
  const [names, numbers] = readFileSync('/proc/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(numbers![names!.indexOf('ActiveOpens')]);
}

const address = (index: number, port: number): string =>
  `127.${1 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}:${port}`;

const child = fork(join(import.meta.dirname, 'checks.child.ts'), { execArgv: [] });
const [{ port }] = (await once(child, 'message')) as [{ port: number }];

console.log(
  '| checks | a second | control process, of a core | of that checks | in the kernel | load |\n|---|---|---|---|---|---|',
);
/** Of a core, without checks. */
let rest = 0;
for (const [kind, health] of Object.entries(kinds)) {
  if (values.only !== undefined && values.only !== kind) continue;
  const weir = await Weir.start({
    config: (ports) => {
      const pools: Record<string, Record<string, unknown>> = {};
      for (let at = 0; at < targets; at += POOL) {
        const endpoints = Array.from({ length: Math.min(POOL, targets - at) }, (_, i) => address(at + i, port));
        pools[at === 0 ? 'pool' : `pool${at / POOL}`] = { endpoints, ...(health === undefined ? {} : { health }) };
      }
      return { ...simpleConfig(ports, []), pools };
    },
  });
  try {
    // Every target has been checked a few times, and the code is compiled.
    await wait(3 * 1000 * Number(values.interval));
    const [opens, cpu, user, began] = [activeOpens(), cpuMs(weir.pid), userMs(weir.pid), performance.now()];
    await wait(seconds * 1000);
    const ms = performance.now() - began;
    const [checks, spent, inUser] = [activeOpens() - opens, cpuMs(weir.pid) - cpu, userMs(weir.pid) - user];
    const up = await until('metrics', () => weir.metric('weir_pool_endpoints', { state: 'ready' }), 10_000);
    if (up < targets) console.error(`only ${up} of ${targets} endpoints are up`);
    const share = (100 * spent) / ms;
    if (kind === 'none') rest = share;
    const cells = [
      kind === 'none' ? 'none' : `${kind}, ${targets} endpoints every ${values.interval} s`,
      // Other programs of this machine connect, too.
      kind === 'none' ? '' : ((checks * 1000) / ms).toFixed(0),
      `${share.toFixed(1)} %`,
      kind === 'none' || rest === 0 ? '' : `${(share - rest).toFixed(1)} %`,
      `${((100 * (spent - inUser)) / spent).toFixed(0)} %`,
      loadavg()[0]!.toFixed(1),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  } finally {
    await weir.kill();
  }
}
child.disconnect();
