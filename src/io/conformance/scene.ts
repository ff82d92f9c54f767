/** scene: what every sentence of the conformance suite stands on: an engine, peers on it, and the check that all was given back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AcceptOwner, Acceptor, Address, Engine, TimerOwner, Wire } from '../../base/wire.ts';
import { closeHow } from '../../base/wire.ts';
import { Peer } from '../peer.ts';

/** A driver under test with the world around it. */
export interface Fixture {
  readonly engine: Engine;
  /** A listening descriptor on an address of its own; `close` closes it. Its connections have receive buffers far below 1 MiB. */
  listen(): { fd: number; address: Address; close(): void };
  /** An address at which nobody listens. */
  refused(): Address;
  /** An address whose dial is not answered while the fixture lives. */
  deaf(): Address;
  /** Two connected descriptors for adopt(). */
  pair(): [number, number];
  /** A file to append to, open for writing. */
  file(): { fd: number; text(): string; close(): void };
  /** A pipe whose reader reads only when asked; null where there is none. */
  pipe(): { fd: number; read(): number; close(): void } | null;
  /** Makes accept fail for want of a descriptor until the returned function is called, or once. */
  exhaustDescriptors(): () => void;
  /** Descriptors that are open now. */
  descriptors(): number;
  /** The driver learns of bytes and ends that arrive on a paused wire. */
  readonly seesUnreadWhilePaused: boolean;
  /** FLUSH_STALL_MS of this engine, short enough to wait for; absent where the driver's is not. */
  readonly flushStallMs: number | undefined;
  /** Closes the engine too. */
  close(): void;
}

export type OpenFixture = () => Fixture;

/** How long anything may take. Virtual time in the memory driver; on a busy machine a step may lose the processor for long. */
const LIMIT_MS = 20_000;
const CHECK_MS = 1;
/** How often a part is played on a machine that stands still now and then. */
const TRIES_MAX = 10;

class Watch implements TimerOwner {
  isMet = false;
  private readonly engine: Engine;
  private readonly condition: () => boolean;
  private readonly end: number;

  constructor(engine: Engine, condition: () => boolean, limitMs: number) {
    this.engine = engine;
    this.condition = condition;
    this.end = engine.now + limitMs;
  }

  onTimer(): void {
    this.isMet = this.condition();
    if (this.isMet || this.engine.now > this.end) this.engine.stop();
    else this.engine.setTimer(CHECK_MS, this, 0);
  }
}

/** Runs the engine until `condition` holds, which is looked at every few ms; fails after `limitMs` of the engine's time. */
export async function until(engine: Engine, condition: () => boolean, what: string, limitMs = LIMIT_MS): Promise<void> {
  const watch = new Watch(engine, condition, limitMs);
  engine.setTimer(0, watch, 0);
  await engine.run();
  assert.ok(watch.isMet, `awaited: ${what}`);
}

export class Scene implements AcceptOwner {
  readonly fixture: Fixture;
  readonly engine: Engine;
  /** Every peer of the scene; closed at its end. */
  readonly peers: Peer[] = [];
  /** Those accepted, in order. */
  readonly served: Peer[] = [];
  readonly acceptors: Acceptor[] = [];
  readonly acceptErrnos: number[] = [];
  /** Called with each accepted peer before anything arrives. */
  onPeer: ((peer: Peer, wire: Wire) => void) | null = null;
  /** The longest time between two looks of until(), ms: how long the engine, or the whole machine, stood still. */
  stoodStillMs = 0;
  private lookedAt: number;
  private readonly closers: (() => void)[] = [];

  constructor(fixture: Fixture) {
    this.fixture = fixture;
    this.engine = fixture.engine;
    this.lookedAt = this.engine.now;
  }

  /** Accepts on a fresh address. */
  serve(): Address {
    const { fd, address, close } = this.fixture.listen();
    this.closers.push(close);
    this.acceptors.push(this.engine.accept(fd, this));
    return address;
  }

  peer(): Peer {
    const peer = new Peer(this.engine);
    this.peers.push(peer);
    return peer;
  }

  dial(address: Address): Peer {
    return this.peer().dial(address);
  }

  /** Two ends of one open connection: [dialled, accepted]. */
  async pair(): Promise<[Peer, Peer]> {
    const count = this.served.length;
    const client = this.dial(this.serve());
    await this.until(() => client.isOpen && this.served.length > count, 'a connection');
    return [client, this.served[count]!];
  }

  onAccept(wire: Wire): void {
    const peer = this.peer().take(wire);
    this.served.push(peer);
    this.onPeer?.(peer, wire);
  }

  onAcceptFault(errno: number): void {
    this.acceptErrnos.push(errno);
  }

  atEnd(close: () => void): void {
    this.closers.push(close);
  }

  until(condition: () => boolean, what: string, limitMs?: number): Promise<void> {
    const look = () => {
      this.stoodStillMs = Math.max(this.stoodStillMs, this.engine.now - this.lookedAt);
      this.lookedAt = this.engine.now;
      return condition();
    };
    return until(this.engine, look, what, limitMs);
  }

  /**
   * For what a deadline of the driver may end when turns do not come within `ms`: a part of a sentence that fails while the machine
   * stood still that long is played again, on new peers.
   */
  async unlessStill(ms: number, part: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.stoodStillMs = 0;
      this.lookedAt = this.engine.now;
      try {
        return await part();
      } catch (error) {
        if (this.stoodStillMs < ms || tries === TRIES_MAX) throw error;
      }
    }
  }

  /** Lets the engine run for a while in which something must not happen. */
  async runFor(ms: number): Promise<void> {
    const end = this.engine.now + ms;
    await this.until(() => this.engine.now >= end, `${ms} ms`);
  }

  /** Closes what is open and waits for every onClosed. */
  async finish(): Promise<void> {
    for (const acceptor of this.acceptors) acceptor.close();
    for (const peer of this.peers) if (peer.wire !== null) peer.close(closeHow.reset);
    await this.until(() => this.peers.every((peer) => peer.wire === null), 'every wire closed');
    for (const peer of this.peers) assert.ok(peer.closedCount <= 1, 'onClosed comes once');
    for (const close of this.closers) close();
  }
}

/** One sentence of the suite, with the leak guard around it. */
export function sentence(name: string, open: OpenFixture, text: string, body: (scene: Scene) => Promise<void>): void {
  test(`${name}: ${text}`, async () => {
    const fixture = open();
    try {
      const { engine } = fixture;
      const { blocks } = engine;
      // A turn first: a driver may take blocks for itself when it starts.
      await until(engine, () => true, 'a turn');
      const descriptors = fixture.descriptors();
      const { largeAvailable, smallAvailable } = blocks;
      const scene = new Scene(fixture);
      await body(scene);
      await scene.finish();
      await scene.until(() => blocks.largeAvailable === largeAvailable, 'large blocks given back');
      assert.equal(blocks.smallAvailable, smallAvailable, 'small blocks given back');
      await scene.until(() => fixture.descriptors() === descriptors, 'descriptors closed');
    } finally {
      fixture.close();
    }
  });
}
