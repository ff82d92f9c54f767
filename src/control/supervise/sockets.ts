/**
 * Sockets: every listening socket, held by control for as long as a plan names it, so that a dead worker takes no accept queue with it.
 *
 * An IP address has one socket per worker slot, bound with SO_REUSEPORT; a unix path has one that all workers share. Datagrams of one client arrive at the
 * same socket of them as long as there are as many.
 *
 * Rules
 * 1. Sockets are known by key and slot. A reload that names the same key keeps them.
 * 2. prepare() opens what a plan needs and closes nothing; retire() closes what no plan needs any more; so a refused plan costs nothing.
 * 3. An address in use is found out with a socket without SO_REUSEPORT: with it, two programs of one user would share the port
 *    and each get half of the connections.
 */
import { fstatSync, lstatSync, unlinkSync } from 'node:fs';
import { connect as connectTo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { type Address, addressText } from '../../base/wire.ts';
import { isDatagramKey, socketKey } from '../../state/channel.ts';
import type { ListenerPlan, Plan } from '../../state/plan.ts';
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../../sys/constants.generated.ts';
import { datagramSocket } from '../../sys/datagram.ts';
import { bind, check, close, familyOf, listen, localAddress, setsockopt, streamSocket } from '../../sys/libc.ts';
import { SystemError } from '../../sys/system-error.ts';
import { holderOf } from './holder.ts';

/** Connections waiting to be accepted, per socket; the kernel cuts it to net.core.somaxconn (4096 by default). */
const BACKLOG = 4096;
/** Room for datagrams that wait for a turn of the worker; the kernel cuts it to net.core.rmem_max (208 KiB by default). */
const DATAGRAM_BYTES = 4 * 1024 * 1024;
/** Workers serve a socket that left the plan a moment longer; who asks for its address again waits for them. */
const RETIRED_MS = 2000;
const RETIRED_LOOK_MS = 25;
/** Ports tried after the one that was taken. */
const FALLBACK_PORTS = 100;

export interface HeldSocket {
  readonly key: string;
  /** Worker slot; -1: shared by all. */
  readonly slot: number;
  readonly fd: number;
  /** Tells the socket from all others while it lives; how a successor finds it in a worker. */
  readonly inode: number;
  /** What it is bound to. */
  readonly address: Address;
}

/** An address cannot be listened on. `message` is for people. */
export class ListenError extends Error {
  override name = 'ListenError';
  readonly code: string;
  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

export interface Prepared {
  opened: HeldSocket[];
  /** Addresses that were taken, and what is listened on instead. */
  moved: { key: string; wanted: Address; got: Address }[];
}

export const inodeOf = (fd: number): number => fstatSync(fd).ino;

/** Every key of a plan. */
export function keysOf(plan: Plan): Map<string, { listener: ListenerPlan; address: Address }> {
  const keys = new Map<string, { listener: ListenerPlan; address: Address }>();
  for (const listener of plan.listeners) {
    for (const address of listener.addresses) keys.set(socketKey(listener, addressText(address)), { listener, address });
  }
  return keys;
}

export class Sockets {
  private readonly held = new Map<string, HeldSocket[]>();
  /** When an address was retired, by its text. ms of performance.now(). */
  private readonly retired = new Map<string, number>();
  /** Ports that the plan under preparation names. */
  private named = new Set<number>();
  private readonly slots: number;
  private readonly portFallback: boolean;
  /** Set when sockets of others on the same port are expected: a predecessor whose sockets could not be had. */
  shareWithOthers = false;

  constructor(slots: number, portFallback: boolean) {
    this.slots = slots;
    this.portFallback = portFallback;
  }

  /** Sockets of a predecessor, before the first prepare(). A socket of a slot beyond ours is served by slot modulo slots. */
  adopt(sockets: readonly HeldSocket[]): void {
    for (const socket of sockets) {
      const slot = socket.slot < 0 ? -1 : socket.slot % this.slots;
      this.list(socket.key).push({ ...socket, slot });
    }
  }

  /** Opens what `plan` names and is not open. Throws ListenError, having closed what it opened. */
  async prepare(plan: Plan): Promise<Prepared> {
    const prepared: Prepared = { opened: [], moved: [] };
    // A fallback must not take a port that the plan wants for something else.
    this.named = new Set([...plan.listeners.flatMap(({ addresses }) => addresses), ...plan.admin.listen].map(portOf));
    try {
      for (const [key, { address }] of keysOf(plan)) await this.open(key, address, prepared);
    } catch (error) {
      this.forget(prepared.opened);
      throw error;
    }
    return prepared;
  }

  /** Undoes a prepare() whose plan was refused. */
  forget(opened: readonly HeldSocket[]): void {
    for (const socket of opened) {
      this.closeOne(socket);
      const left = this.list(socket.key).filter((other) => other !== socket);
      if (left.length === 0) this.held.delete(socket.key);
      else this.held.set(socket.key, left);
    }
  }

  /** Closes our copies of what `plan` does not name. Returns the keys. */
  retire(plan: Plan): string[] {
    const keys = keysOf(plan);
    const gone = [...this.held.keys()].filter((key) => !keys.has(key));
    for (const key of gone) {
      for (const { address } of this.held.get(key)!) this.retired.set(addressText(address), performance.now());
      this.forget(this.held.get(key)!);
      this.held.delete(key);
    }
    return gone;
  }

  closeAll(): void {
    for (const key of [...this.held.keys()]) this.forget(this.held.get(key)!);
  }

  /** What the worker of `slot` serves, of these keys or of all. */
  of(slot: number, keys?: ReadonlyMap<string, unknown>): HeldSocket[] {
    return this.all().filter(
      (socket) => (socket.slot === slot || socket.slot < 0) && (keys === undefined || keys.has(socket.key)),
    );
  }

  all(): HeldSocket[] {
    return [...this.held.values()].flat();
  }

  /** What a key is bound to; null when it is not open. */
  boundTo(key: string): Address | null {
    return this.held.get(key)?.[0]?.address ?? null;
  }

  private list(key: string): HeldSocket[] {
    let list = this.held.get(key);
    if (list === undefined) this.held.set(key, (list = []));
    return list;
  }

  private async open(key: string, wanted: Address, prepared: Prepared): Promise<void> {
    const list = this.list(key);
    if (wanted.kind === 'unix') {
      if (list.length > 0) return;
      await clearPath(wanted.path, key);
      this.add(bound(wanted, -1, key), list, prepared);
      return;
    }
    const missing: number[] = [];
    for (let slot = 0; slot < this.slots; slot++) if (!list.some((socket) => socket.slot === slot)) missing.push(slot);
    if (missing.length === 0) return;
    // With sockets of ours on it, the port is ours; the others join them.
    let address = list[0]?.address ?? wanted;
    if (list.length === 0) {
      address = this.shareWithOthers && wanted.port !== 0 ? wanted : await this.free(wanted, key);
      if (wanted.port !== 0 && address.kind === 'ip' && address.port !== wanted.port) {
        prepared.moved.push({ key, wanted, got: address });
      }
    }
    for (const slot of missing) {
      const socket = bound(address, slot, key);
      address = socket.address;
      this.add(socket, list, prepared);
    }
  }

  private add(socket: HeldSocket, list: HeldSocket[], prepared: Prepared): void {
    list.push(socket);
    prepared.opened.push(socket);
  }

  /** `wanted`, or with port fallback the next address nobody listens on. */
  private async free(wanted: Address & { kind: 'ip' }, key: string): Promise<Address> {
    const retiredAt = this.retired.get(addressText(wanted)) ?? Number.NEGATIVE_INFINITY;
    while (performance.now() - retiredAt < RETIRED_MS) {
      const probe = tryBind(wanted, key, 'probe');
      if (probe === null) await wait(RETIRED_LOOK_MS);
      else {
        close(probe);
        return wanted;
      }
    }
    const last = Math.min(65535, wanted.port + (this.portFallback && wanted.port !== 0 ? FALLBACK_PORTS : 0));
    for (let port = wanted.port; port <= last; port++) {
      if (port !== wanted.port && this.named.has(port)) continue;
      const address = { ...wanted, port };
      const probe = tryBind(address, key, 'probe');
      if (probe === null) continue;
      close(probe);
      return address;
    }
    throw inUse(wanted, key);
  }

  private closeOne(socket: HeldSocket): void {
    close(socket.fd);
    if (socket.address.kind === 'unix' && !socket.address.path.startsWith('@')) {
      try {
        unlinkSync(socket.address.path);
      } catch {
        // Somebody removed it already.
      }
    }
  }
}

const portOf = (address: Address): number => (address.kind === 'ip' ? address.port : 0);

function inUse(address: Address & { kind: 'ip' }, key: string): ListenError {
  const holder = holderOf(address.port, isDatagramKey(key));
  const who = holder === null ? '' : ` by ${holder.command} (pid ${holder.pid})`;
  return new ListenError(
    `cannot listen on ${addressText(address)} (listener ${listenerOf(key)}): port ${address.port} is taken${who}`,
    'EADDRINUSE',
  );
}

const listenerOf = (key: string): string => key.slice(0, key.indexOf('|'));

/** A socket bound (a probe, or for datagrams) or listening, or null when the address is in use. Other refusals throw ListenError. */
function tryBind(address: Address, key: string, how: 'probe' | 'alone' | 'shared'): number | null {
  const isUdp = isDatagramKey(key);
  const socketFor = (wanted: Address) => (isUdp ? datagramSocket(familyOf(wanted)) : streamSocket(wanted));
  let fd = socketFor(address);
  if (fd === -EAFNOSUPPORT && address.kind === 'ip' && address.host === '::') {
    // Without IPv6 in the kernel, "all addresses" is all of IPv4.
    address = { ...address, host: '0.0.0.0' };
    fd = socketFor(address);
  }
  check('socket', fd);
  try {
    if (address.kind === 'ip') {
      // Among datagram sockets it would let a stranger in (socket(7)), and there is nothing to wait for.
      if (!isUdp) check('setsockopt SO_REUSEADDR', setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
      if (how === 'shared') check('setsockopt SO_REUSEPORT', setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1));
      if (address.host.includes(':'))
        check('setsockopt IPV6_V6ONLY', setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address.host === '::' ? 0 : 1));
      // Accepted sockets inherit it (tcp(7)).
      if (!isUdp) check('setsockopt TCP_NODELAY', setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1));
    }
    if (isUdp) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, DATAGRAM_BYTES);
    const result = bind(fd, address);
    const listened = result < 0 || how === 'probe' || isUdp ? result : listen(fd, BACKLOG);
    if (listened === -EADDRINUSE) {
      close(fd);
      return null;
    }
    if (listened < 0) throw new SystemError('bind', -listened);
    return fd;
  } catch (error) {
    close(fd);
    const code = error instanceof SystemError ? error.code : 'EINVAL';
    throw new ListenError(
      `cannot listen on ${addressText(address)} (listener ${listenerOf(key)}): ${why(error as Error, address)}`,
      code,
    );
  }
}

function why(error: Error, address: Address): string {
  const code = error instanceof SystemError ? error.code : '';
  if (code === 'EACCES' && address.kind === 'ip') {
    return `no permission for port ${address.port}; ports below net.ipv4.ip_unprivileged_port_start (1024) want root or CAP_NET_BIND_SERVICE`;
  }
  if (error instanceof SystemError && error.errno === EADDRNOTAVAIL) return 'this machine has no such address';
  return error.message;
}

function bound(address: Address, slot: number, key: string): HeldSocket {
  const fd = tryBind(address, key, slot < 0 ? 'alone' : 'shared');
  if (fd === null)
    throw address.kind === 'ip' ? inUse(address, key) : new ListenError(`${addressText(address)} is taken`, 'EADDRINUSE');
  const real = localAddress(fd);
  return { key, slot, fd, inode: inodeOf(fd), address: real !== null && typeof real === 'object' ? real : address };
}

/** Removes the socket file that a dead process left behind. Throws ListenError when somebody listens on it, or it is no socket. */
async function clearPath(path: string, key: string): Promise<void> {
  if (path.startsWith('@')) return;
  try {
    if (!lstatSync(path).isSocket())
      throw new ListenError(`cannot listen on unix:${path} (listener ${listenerOf(key)}): it is a file`, 'EEXIST');
  } catch (error) {
    if (error instanceof ListenError) throw error;
    return;
  }
  const isTaken = await new Promise<boolean>((resolve) => {
    const probe = connectTo(path);
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (isTaken)
    throw new ListenError(
      `cannot listen on unix:${path} (listener ${listenerOf(key)}): another program listens on it`,
      'EADDRINUSE',
    );
  unlinkSync(path);
}
