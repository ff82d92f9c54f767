import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Plan, PoolPlan, SourcePlan } from '../../state/plan.ts';
import { TCP_TIME_WAIT } from '../../sys/constants.generated.ts';
import { addressWords, type DiagQuestion, DiagSocket } from '../../sys/socket-diag.ts';
import { LocalPorts, type PortUse } from './local-ports.ts';

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

/** A connection from 127.0.0.1:`port` to 127.0.0.1:8080. */
interface Connection {
  port: number;
  state?: number;
  local?: string;
  remote?: string;
  remotePort?: number;
}

/** Looks at a machine whose parts may be changed between two looks. */
function machine({ plan, own }: ReturnType<typeof planOf>, files: Record<string, string> = {}) {
  const its = {
    now: 0,
    files: { ...quiet, ...files },
    connections: [] as Connection[],
    /** By slot. */
    made: own.map(() => 0),
    listed: 0,
    error: 0,
  };
  const list = ({ states, remotePorts }: DiagQuestion, visit: (row: DiagSocket) => void): number => {
    its.listed++;
    if (its.error < 0) return its.error;
    const row = new DiagSocket();
    for (const { port, state = 1, local = '127.0.0.1', remote = '127.0.0.1', remotePort = 8080 } of its.connections) {
      if ((states & (1 << state)) === 0 || !remotePorts.includes(remotePort)) continue;
      row.state = state;
      row.localPort = port;
      row.remotePort = remotePort;
      row.local.set(addressWords(local));
      row.remote.set(addressWords(remote));
      visit(row);
    }
    return its.connections.length;
  };
  const read = (path: string): string => {
    const text = its.files[path];
    if (text === undefined) throw new Error(`${path} is not there`);
    return text;
  };
  const tally = { portsHeld: (slot: number) => own[slot]!, connectsMade: (slot: number) => its.made[slot]! };
  const ports = new LocalPorts(tally, () => plan, { read, list, clock: () => its.now });
  return {
    its,
    look: (): PortUse[] => {
      ports.look();
      return ports.uses.map((use) => ({ ...use }));
    },
  };
}

const tw = (count: number) => ({ '/proc/net/sockstat': `TCP: inuse 4 orphan 0 tw ${count} alloc 5\n` });
/** So many, from port 40000 on. */
const connections = (count: number, state = 1): Connection[] =>
  Array.from({ length: count }, (_, i) => ({ port: 40_000 + i, state }));
const home = (own = 0) => planOf({ endpoints: [{ host: '127.0.0.1', port: 8080, own }] });

test('while few are in use nothing but the own connections is counted, and the kernel is not asked', () => {
  const { its, look } = machine(home(49));
  assert.deepEqual(look(), [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 49, of: 100 }]);
  assert.equal(its.listed, 0);
});

test('from half on all connections of the machine count, those of TIME_WAIT included', () => {
  const { its, look } = machine(home(50));
  its.connections = [
    { port: 40_000 },
    { port: 40_099 },
    { port: 40_001, state: TCP_TIME_WAIT },
    { port: 39_999 },
    { port: 40_100 },
    { port: 40_002, remotePort: 8081 },
    { port: 40_003, remote: '127.0.0.2' },
  ];
  assert.deepEqual(look(), [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 3, of: 100 }]);
});

test('half of the ports connected within the last minute is reason enough to look closer, each time', () => {
  const { its, look } = machine(home(), tw(60));
  its.connections = connections(55, TCP_TIME_WAIT);
  its.made = [60];
  for (its.now = 0; its.now < 50_000; its.now += 5000) assert.equal(look()[0]!.used, 55);
  assert.equal(its.listed, 10);
});

test('what was connected longer ago is no reason, and what others keep in TIME_WAIT is looked at once a minute', () => {
  const { its, look } = machine(home(), tw(60));
  its.made = [1000];
  its.connections = connections(20, TCP_TIME_WAIT);
  for (its.now = 0; its.now <= 60_000; its.now += 5000) look();
  its.listed = 0;
  for (its.now = 65_000; its.now < 305_000; its.now += 5000) assert.equal(look()[0]!.used, 20, 'as it was counted');
  assert.equal(its.listed, 4);
  its.files = { ...quiet, ...tw(0) };
  assert.equal(look()[0]!.used, 0);
  assert.equal(its.listed, 4);
});

test('where others take half of the ports they are looked at each time', () => {
  const { its, look } = machine(home(), tw(60));
  its.connections = connections(70);
  for (let i = 0; i < 5; i++, its.now += 5000) assert.equal(look()[0]!.used, 70);
  assert.equal(its.listed, 5);
});

test('ports in TIME_WAIT that the kernel may use again are free, and no reason to look', () => {
  for (const [reuse, used, listed] of [
    ['0', 1, 1],
    ['1', 0, 0],
    ['2', 0, 0],
  ] as const) {
    const { its, look } = machine(home(), { ...tw(100), '/proc/sys/net/ipv4/tcp_tw_reuse': `${reuse}\n` });
    its.connections = connections(1, TCP_TIME_WAIT);
    its.made = [100];
    assert.deepEqual([look()[0]!.used, its.listed], [used, listed], `tcp_tw_reuse=${reuse}`);
  }
});

test('with tcp_tw_reuse=2 only those of loopback are free', () => {
  const plan = planOf({
    endpoints: [
      { host: '127.0.0.1', port: 8080, own: 60 },
      { host: '10.0.0.1', port: 8080, own: 60 },
    ],
  });
  const { its, look } = machine(plan, { '/proc/sys/net/ipv4/tcp_tw_reuse': '2\n' });
  its.connections = [...connections(3, TCP_TIME_WAIT), { port: 40_000, state: TCP_TIME_WAIT, remote: '10.0.0.1' }];
  assert.deepEqual(
    look().map(({ used }) => used),
    [0, 1],
  );
});

test('a kernel that does not tell leaves the own connections', () => {
  const { its, look } = machine(home(70));
  its.error = -2;
  assert.equal(look()[0]!.used, 70);
});

test('each source address has ports of its own, and only its connections count', () => {
  const plan = planOf({
    endpoints: [{ host: '127.0.0.1', port: 8080, own: 100 }],
    source: { addresses: ['127.0.0.2', '127.0.0.3', '::1'] },
  });
  const { its, look } = machine(plan);
  its.connections = [{ port: 40_000 }, { port: 40_000, local: '127.0.0.2' }, { port: 40_001, local: '127.0.0.3' }];
  assert.deepEqual(look(), [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 2, of: 200 }]);
});

test('pools with the same endpoint share its ports; reserved ports are none; transparent pools have no count', () => {
  const { look } = machine(
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
  assert.deepEqual(look(), [
    { pool: 'p0', endpoint: '10.0.0.1:80', used: 3, of: 89 },
    { pool: 'p1', endpoint: '10.0.0.2:80', used: 4, of: 89 },
  ]);
});

test('sessions of UDP share the ports of the address whatever their endpoint', () => {
  const { look } = machine(
    planOf({
      protocol: 'udp',
      endpoints: [
        { host: '10.0.0.1', port: 53, own: 30 },
        { host: '10.0.0.2', port: 53, own: 40 },
      ],
    }),
  );
  assert.deepEqual(look(), [{ pool: 'p0', endpoint: '10.0.0.1:53', used: 70, of: 100 }]);
});

test('another range of ports counts from the next look on', () => {
  const { its, look } = machine(home(10));
  assert.equal(look()[0]!.of, 100);
  its.files['/proc/sys/net/ipv4/ip_local_port_range'] = '40000\t40019\n';
  its.connections = connections(30);
  assert.deepEqual(look(), [{ pool: 'p0', endpoint: '127.0.0.1:8080', used: 20, of: 20 }]);
});

for (const host of ['127.0.0.1', '::1'])
  test(`connections to ${host} are found in what this kernel says`, async (t) => {
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
    const ports = new LocalPorts({ portsHeld: () => 1e6, connectsMade: () => 0 }, () => plan);
    ports.look();
    assert.equal(ports.uses[0]!.used, 5);
  });
