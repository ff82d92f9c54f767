import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import type { Address } from '../base/wire.ts';
import * as C from './constants.generated.ts';
import { errno, fast, isFast } from './ffi.ts';
import * as libc from './libc.ts';

function peerOf(fd: number): string {
  const address = new ClientAddress();
  libc.readPeer(fd, address);
  return address.textWithPort;
}

/** Files are not counted, but for those in memory: the test reporter opens its own when it likes. */
const descriptors = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return !/^\/(?!memfd:)/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;

/** What a call returns when it is not `notYet` any more: loopback carries at once, but for softirqs that a busy kernel puts off. */
function awaited(notYet: number, call: () => number): number {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; ; tries++) {
    const result = call();
    if (result !== notYet || tries === 1000) return result;
    Atomics.wait(nobody, 0, 0, 10);
  }
}
let before0 = 0;
before(() => {
  before0 = descriptors();
});
after(() => assert.equal(descriptors(), before0, 'no descriptor leaks'));

test('ffi: the unwrapped function is had on this Node', () => {
  assert.equal(isFast, true);
});

test('ffi: errno is what the last call set', () => {
  const close = fast<(fd: number) => number>('close', ['int32'], 'int32');
  assert.equal(close(-1), -1);
  assert.equal(errno[0], C.EBADF);
  assert.equal(libc.close(1_000_000), -C.EBADF);
});

test('ffi: loading it prints nothing, and other warnings still show', () => {
  const url = new URL('./ffi.ts', import.meta.url).href;
  const source = `await import(${JSON.stringify(url)}); process.emitWarning('still heard');`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
  assert.doesNotMatch(child.stderr, /FFI|ffi/);
  assert.match(child.stderr, /still heard/);
});

test('memory: a low mapping lies below 4 GiB, is zero, and is the same memory for the kernel', () => {
  const map = libc.mapLow(1 << 20);
  assert.ok(map.address + map.length <= 2 ** 32);
  assert.equal(map.bytes.indexOf(1), -1);
  const [readEnd, writeEnd] = libc.pipe() as [number, number];
  map.bytes.set([1, 2, 3, 4], 100);
  assert.equal(libc.write(writeEnd, map.address + 100, 4), 4);
  assert.equal(libc.read(readEnd, map.address + 5000, 10), 4);
  assert.deepEqual([...map.bytes.subarray(5000, 5005)], [1, 2, 3, 4, 0]);
  libc.close(readEnd);
  libc.close(writeEnd);
  libc.munmap(map);
});

test('memory: a memfd is shared between two mappings and cannot shrink', () => {
  const fd = libc.memfd('weir-test', 8192);
  const [first, second] = [libc.mapShared(fd, 8192), libc.mapShared(fd, 8192)];
  Atomics.add(new Int32Array(first.buffer), 3, 41);
  Atomics.add(new Int32Array(second.buffer), 3, 1);
  assert.equal(new Int32Array(first.buffer)[3], 42);
  assert.match(readlinkSync(`/proc/self/fd/${fd}`), /memfd:weir-test/);
  const ftruncate = fast<(fd: number, length: bigint) => number>('ftruncate', ['int32', 'int64'], 'int32');
  assert.equal(ftruncate(fd, 10n), -1);
  libc.munmap(first);
  libc.munmap(second);
  libc.close(fd);
});

const addresses: readonly Address[] = [
  { kind: 'ip', host: '192.0.2.1', port: 4711 },
  { kind: 'ip', host: '255.255.255.255', port: 65535 },
  { kind: 'ip', host: '::', port: 0 },
  { kind: 'ip', host: '::1', port: 80 },
  { kind: 'ip', host: '2001:db8::8:800:200c:417a', port: 443 },
  { kind: 'ip', host: '2001:db8:1:2:3:4:5:6', port: 443 },
  { kind: 'ip', host: 'fe80::1%2', port: 53 },
  { kind: 'ip', host: '::ffff:192.0.2.7', port: 1 },
  { kind: 'ip', host: '1::', port: 1 },
  { kind: 'unix', path: '/run/x.sock' },
  { kind: 'unix', path: '@weir' },
  { kind: 'unix', path: '/' + 'x'.repeat(106) },
];
for (const address of addresses) {
  test(`address: ${JSON.stringify(address)} comes back from its sockaddr`, () => {
    const bytes = new Uint8Array(200);
    const length = libc.encodeAddress(address, bytes, 3);
    assert.deepEqual(libc.decodeAddress(bytes, 3, length), address);
  });
}

for (const host of [
  '1.2.3',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4.5',
  '',
  'localhost',
  '::1::',
  ':::',
  '1:2:3:4:5:6:7',
  '12345::',
  '::1.2.3',
  'fe80::1%',
]) {
  test(`address: "${host}" is refused`, () => {
    assert.throws(() => libc.encodeAddress({ kind: 'ip', host, port: 1 }, new Uint8Array(200), 0), libc.AddressError);
  });
}

test('address: a port or unix path out of range is refused', () => {
  const encode = (address: Address) => () => libc.encodeAddress(address, new Uint8Array(200), 0);
  assert.throws(encode({ kind: 'ip', host: '::1', port: 65536 }), libc.AddressError);
  assert.throws(encode({ kind: 'unix', path: '/' + 'x'.repeat(107) }), libc.AddressError);
  assert.throws(encode({ kind: 'unix', path: '' }), libc.AddressError);
});

for (const host of ['127.0.0.1', '::1']) {
  test(`socket: a conversation over ${host}, with names, options and a refused neighbour`, () => {
    const listener = libc.check('socket', libc.streamSocket({ kind: 'ip', host, port: 0 }));
    assert.equal(libc.setsockopt(listener, C.SOL_SOCKET, C.SO_REUSEADDR, 1), 0);
    assert.equal(libc.getsockopt(listener, C.SOL_SOCKET, C.SO_REUSEADDR), 1);
    assert.equal(libc.bind(listener, { kind: 'ip', host, port: 0 }), 0);
    assert.equal(libc.listen(listener, 8), 0);
    assert.equal(libc.accept4(listener), -C.EAGAIN);
    const address = libc.localAddress(listener) as Address;
    const client = libc.streamSocket(address);
    assert.equal(libc.connect(client, address), -C.EINPROGRESS);
    const server = libc.check(
      'accept4',
      awaited(-C.EAGAIN, () => libc.accept4(listener)),
    );
    assert.equal(peerOf(server), libc.getsockname(client));
    assert.equal(peerOf(client), libc.getsockname(listener));
    const map = libc.mapLow(4096);
    map.bytes.set([7, 8, 9]);
    assert.equal(libc.send(client, map.address, 3, C.MSG_NOSIGNAL), 3);
    const hear = (fd: number) => awaited(-C.EAGAIN, () => libc.recv(fd, map.address + 100, 10, 0));
    assert.equal(hear(server), 3);
    assert.equal(libc.recv(server, map.address + 100, 10, 0), -C.EAGAIN);
    assert.equal(libc.shutdown(client, C.SHUT_WR), 0);
    assert.equal(hear(server), 0);
    libc.close(listener);
    const late = libc.streamSocket(address);
    libc.connect(late, address);
    assert.equal(
      awaited(0, () => libc.getsockopt(late, C.SOL_SOCKET, C.SO_ERROR)),
      C.ECONNREFUSED,
    );
    libc.setReset(server);
    libc.close(server);
    assert.equal(hear(client), -C.ECONNRESET);
    for (const fd of [client, late]) libc.close(fd);
    libc.munmap(map);
  });
}

test('socket: a unix listener in the abstract namespace, and a client without a name', () => {
  const address: Address = { kind: 'unix', path: `@weir-test-${process.pid}` };
  const listener = libc.streamSocket(address);
  assert.equal(libc.bind(listener, address), 0);
  assert.equal(libc.listen(listener, 1), 0);
  assert.equal(libc.getsockname(listener), `unix:${address.path}`);
  const client = libc.streamSocket(address);
  assert.equal(libc.connect(client, address), 0);
  const server = libc.accept4(listener);
  assert.equal(peerOf(server), 'unix:');
  for (const fd of [listener, client, server]) libc.close(fd);
});

test('socket: descriptors travel with their bytes', () => {
  const [left, right] = libc.socketpair(C.AF_UNIX, C.SOCK_STREAM) as [number, number];
  const [readEnd, writeEnd] = libc.pipe() as [number, number];
  assert.equal(libc.sendDescriptors(left, Buffer.from('two'), [writeEnd, readEnd]), 3);
  const into = new Uint8Array(100);
  const fds: number[] = [];
  assert.equal(libc.recvDescriptors(right, into, fds), 3);
  assert.equal(Buffer.from(into.subarray(0, 3)).toString(), 'two');
  assert.equal(fds.length, 2);
  libc.low.bytes[0] = 77;
  assert.equal(libc.write(fds[0]!, libc.low.address, 1), 1);
  assert.equal(libc.read(readEnd, libc.low.address + 8, 9), 1);
  assert.equal(libc.low.bytes[8], 77);
  assert.equal(libc.sendDescriptors(left, Buffer.from('none'), []), 4);
  assert.equal(libc.recvDescriptors(right, into, fds), 4);
  assert.equal(fds.length, 2);
  libc.close(left);
  assert.equal(libc.recvDescriptors(right, into, fds), 0);
  for (const fd of [right, readEnd, writeEnd, ...fds]) libc.close(fd);
});

test('epoll: an event carries the user data it was added with', () => {
  const epoll = libc.epollCreate();
  const signal = libc.eventfd(1, C.EFD_CLOEXEC);
  assert.equal(libc.epollCtl(epoll, C.EPOLL_CTL_ADD, signal, C.EPOLLIN, 123456, -2), 0);
  const map = libc.mapLow(4096);
  assert.equal(libc.epollWait(epoll, map.address, 8, 0), 1);
  const words = new Int32Array(map.buffer);
  assert.equal(words[0], C.EPOLLIN);
  assert.equal(words[libc.EPOLL_EVENT_DATA >> 2], 123456);
  assert.equal(words[(libc.EPOLL_EVENT_DATA >> 2) + 1], -2);
  libc.read(signal, map.address + 64, 8);
  assert.equal(libc.epollWait(epoll, map.address, 8, 0), 0);
  libc.munmap(map);
  libc.close(signal);
  libc.close(epoll);
});

test('processes: pidfd, signals, limits and the clock answer', () => {
  const pidfd = libc.pidfdOpen(process.pid);
  assert.ok(pidfd > 2);
  const copy = libc.pidfdGetfd(pidfd, pidfd);
  assert.ok(copy > 2);
  libc.close(copy);
  libc.close(pidfd);
  assert.equal(libc.kill(process.pid, 0), 0);
  const limit = libc.getrlimit(C.RLIMIT_NOFILE) as { soft: number; hard: number };
  assert.ok(limit.soft > 0 && limit.hard >= limit.soft);
  assert.equal(libc.setrlimit(C.RLIMIT_NOFILE, limit.soft - 1, limit.hard), 0);
  assert.equal((libc.getrlimit(C.RLIMIT_NOFILE) as { soft: number }).soft, limit.soft - 1);
  assert.equal(libc.setrlimit(C.RLIMIT_NOFILE, limit.soft, limit.hard), 0);
  const [before, clock, after] = [process.hrtime(), libc.clockMs(C.CLOCK_MONOTONIC), process.hrtime()];
  const ms = ([seconds, nanoseconds]: [number, number]) => seconds * 1e3 + nanoseconds / 1e6;
  assert.ok(clock > ms(before) - 1 && clock < ms(after) + 1, `${ms(before)} ${clock} ${ms(after)}`);
  assert.equal(libc.prctl(C.PR_SET_DUMPABLE, 1), 0);
  assert.equal(libc.open('/nowhere/at/all', C.O_RDONLY), -C.ENOENT);
  assert.equal(libc.errnoName(111), 'ECONNREFUSED');
});
