import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Plan, PoolPlan, SourcePlan } from '../../state/plan.ts';
import { LocalPorts } from './local-ports.ts';

type Endpoint = { host: string; port: number; own?: number };

/** Pools of endpoints with so many connections of weir's own, in slots counted through. */
function planOf(...pools: { endpoints: Endpoint[]; protocol?: PoolPlan['protocol']; source?: Partial<SourcePlan> }[]) {
  const own: number[] = [];
  const plan = {
    pools: pools.map(({ endpoints, protocol = 'tcp', source }, i) => ({
      name: `p${i}`,
      protocol,
      sourceAddress: source === undefined ? null : { addresses: [], isTransparent: false, ...source },
      endpoints: endpoints.map(({ host, port, own: count = 0 }) => ({
        slot: own.push(count) - 1,
        address: `${host}:${port}`,
        resolved: { kind: 'ip', host, port },
      })),
    })),
  } as unknown as Plan;
  return { plan, own };
}

const quiet: Record<string, string> = {
  '/proc/sys/net/ipv4/ip_local_port_range': '40000\t40099\n',
  '/proc/sys/net/ipv4/ip_local_reserved_ports': '\n',
  '/proc/sys/net/ipv4/tcp_tw_reuse': '0\n',
  '/proc/net/sockstat': 'sockets: used 1\nTCP: inuse 4 orphan 0 tw 0 alloc 5 mem 1\n',
};

async function look({ plan, own }: ReturnType<typeof planOf>, files: Record<string, string> = {}) {
  const read: string[] = [];
  const ports = new LocalPorts(
    { remaining: (slot) => ({ requests: own[slot]!, tunnels: 0, wiresIdle: 0 }) },
    () => plan,
    async (path) => {
      read.push(path);
      const text = { ...quiet, ...files }[path];
      if (text === undefined) throw new Error(`${path} is not there`);
      return text;
    },
  );
  await ports.look();
  return { uses: ports.uses, read };
}

/** A line of /proc/net/tcp from 127.0.0.1:`port` to 127.0.0.1:8080. */
const line = (port: number, state = '01', local = '0100007F') =>
  `   7: ${local}:${port.toString(16).toUpperCase()} 0100007F:1F90 ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1\n`;

test('while few are in use nothing but the own connections is counted, and the list of the kernel is not read', async () => {
  const { uses, read } = await look(planOf({ endpoints: [{ host: '127.0.0.1', port: 8080, own: 49 }] }));
  assert.deepEqual(uses, [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 49, of: 100 }]);
  assert.ok(!read.includes('/proc/net/tcp'));
});

test('from half on all connections of the machine count, those of TIME_WAIT included', async () => {
  const plan = planOf({ endpoints: [{ host: '127.0.0.1', port: 8080, own: 50 }] });
  const others = `${line(8081)}${line(39_999)}${line(40_100)}   8: 0100007F:9C41 0100007F:1F91 01 0\n`;
  const { uses } = await look(plan, {
    '/proc/net/tcp': `  sl  local_address\n${line(40_000)}${line(40_099)}${line(40_001, '06')}${others}`,
  });
  assert.deepEqual(uses, [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 3, of: 100 }]);
});

test('many in TIME_WAIT are reason enough to look closer', async () => {
  const plan = planOf({ endpoints: [{ host: '127.0.0.1', port: 8080 }] });
  const { uses } = await look(plan, {
    '/proc/net/sockstat': 'TCP: inuse 4 orphan 0 tw 51 alloc 5\n',
    '/proc/net/tcp': line(40_000, '06'),
  });
  assert.equal(uses[0]!.used, 1);
});

test('ports in TIME_WAIT that the kernel may use again are free', async () => {
  const plan = planOf({ endpoints: [{ host: '127.0.0.1', port: 8080, own: 80 }] });
  for (const [reuse, used] of [
    ['0', 1],
    ['1', 0],
    ['2', 0],
  ] as const) {
    const { uses } = await look(plan, { '/proc/sys/net/ipv4/tcp_tw_reuse': `${reuse}\n`, '/proc/net/tcp': line(40_000, '06') });
    assert.equal(uses[0]!.used, used, `tcp_tw_reuse=${reuse}`);
  }
});

test('each source address has ports of its own, and only its connections count', async () => {
  const plan = planOf({
    endpoints: [{ host: '127.0.0.1', port: 8080, own: 100 }],
    source: { addresses: ['127.0.0.2', '127.0.0.3', '::1'] },
  });
  const list = line(40_000) + line(40_000, '01', '0200007F') + line(40_001, '01', '0300007F');
  const { uses } = await look(plan, { '/proc/net/tcp': list });
  assert.deepEqual(uses, [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 2, of: 200 }]);
});

test('pools with the same endpoint share its ports; reserved ports are none; transparent pools have no count', async () => {
  const { uses } = await look(
    planOf(
      { endpoints: [{ host: '10.0.0.1', port: 80, own: 1 }] },
      {
        endpoints: [
          { host: '10.0.0.1', port: 80, own: 2 },
          { host: '10.0.0.2', port: 80, own: 4 },
        ],
      },
      { endpoints: [{ host: '10.0.0.1', port: 80, own: 8 }], source: { isTransparent: true } },
    ),
    { '/proc/sys/net/ipv4/ip_local_reserved_ports': '22,39990-40009,40050,50000\n' },
  );
  assert.deepEqual(uses, [
    { pool: 'p0', endpoint: '10.0.0.1:80', used: 3, of: 89 },
    { pool: 'p1', endpoint: '10.0.0.2:80', used: 4, of: 89 },
  ]);
});

test('sessions of UDP share the ports of the address whatever their endpoint', async () => {
  const { uses } = await look(
    planOf({
      protocol: 'udp',
      endpoints: [
        { host: '10.0.0.1', port: 53, own: 30 },
        { host: '10.0.0.2', port: 53, own: 40 },
      ],
    }),
  );
  assert.deepEqual(uses, [{ pool: 'p0', endpoint: '10.0.0.1:53', used: 70, of: 100 }]);
});

for (const host of ['127.0.0.1', '::1'])
  test(`connections to ${host} are found in what this kernel writes`, async (t) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, host, () => resolve()));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const clients: Socket[] = [];
    t.after(() => {
      for (const client of clients) client.destroy();
    });
    for (let i = 0; i < 5; i++) {
      const client = createConnection({ host, port });
      await once(client, 'connect');
      clients.push(client);
    }
    const { plan } = planOf({ endpoints: [{ host, port }] });
    // Some other than ours, too few by far to look closer at: so everything is in use.
    const ports = new LocalPorts(
      { remaining: () => ({ requests: 1e6, tunnels: 0, wiresIdle: 0 }) },
      () => plan,
      (path) => readFile(path, 'latin1'),
    );
    await ports.look();
    assert.equal(ports.uses[0]!.used, 5);
  });
