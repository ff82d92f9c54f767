/** Harm prevented: a client that goes while weir answers it by itself is spoken to again, or its bytes are counted for the next one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { fault } from '../../src/base/faults.ts';
import type { ClientStream, RequestSink } from '../../src/base/stream.ts';
import { World } from './world.ts';

/** Goes at a call, and notes what is called. */
class Leaving implements ClientStream {
  sink: RequestSink | null = null;
  readonly address = new ClientAddress();
  readonly peer = this.address;
  readonly toldPort = 0;
  readonly startedMs = 0;
  readonly idleMs = 0;
  readonly secure = false;
  readonly tls = null;
  readonly protocol = 0;
  readonly queued = 0;
  drainBelow = -1;
  readonly calls: string[] = [];
  private readonly leavesAt: string;

  constructor(leavesAt: string) {
    this.leavesAt = leavesAt;
  }
  destination(): ClientAddress {
    return this.address;
  }
  sendHead(): void {
    this.note('head');
  }
  sendBody(): void {
    this.note('body');
  }
  sendEnd(): void {
    this.note('end');
  }
  pause(): void {}
  resume(): void {}
  abort(): void {
    this.note('abort');
  }
  refuseMore(): void {}
  startTunnel(): void {}

  private note(call: string): void {
    this.calls.push(call);
    if (call === this.leavesAt) this.sink!.onClientGone(fault.clientAborted);
  }
}

for (const [leavesAt, calls] of [
  ['head', ['head']],
  ['body', ['head', 'body']],
  ['never', ['head', 'body', 'end']],
] as const)
  test(`a client that leaves at ${leavesAt} hears nothing more, and what it got is not counted for the next`, () => {
    const { relay, plan, engine } = new World({ seed: 1 });
    const listener = { index: 0, plan: plan.listeners[0]! };
    const client = new Leaving(leavesAt);
    relay.onBadRequest(client, listener, fault.badRequest, '');
    assert.deepEqual(client.calls, calls);
    relay.onBadRequest(new Leaving('head'), listener, fault.badRequest, '');
    const [next, first] = relay.recorder.recent(2, 'all', engine.now, engine.now);
    assert.equal(next!.bytesOut, 0);
    assert.equal(first!.bytesOut > 0, leavesAt === 'never');
  });
