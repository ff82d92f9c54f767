/** engine: acceptors, timers, files, turns, stop. */
import assert from 'node:assert/strict';
import { closeHow, type TimerOwner } from '../../base/wire.ts';
import { type OpenFixture, type Scene, sentence } from './scene.ts';

const EMFILE = 24;
const EBADF = 9;
/** Longer than bytes are under way in the memory driver. */
const DUE_MS = 10;

export function engineSentences(name: string, open: OpenFixture): void {
  const says = (text: string, body: (scene: Scene) => Promise<void>) => sentence(name, open, text, body);

  says('a paused acceptor leaves connections in the queue until it resumes', async (scene) => {
    const address = scene.serve();
    const acceptor = scene.acceptors[0]!;
    const first = scene.dial(address);
    await scene.until(() => scene.served.length === 1 && first.isOpen, 'the first connection');
    acceptor.pause();
    const clients = [scene.dial(address), scene.dial(address)];
    await scene.until(() => clients.every((client) => client.isOpen), 'the kernel connects them');
    await scene.runFor(20);
    assert.equal(scene.served.length, 1);
    acceptor.resume();
    await scene.until(() => scene.served.length === 3, 'all accepted');
    clients[1]!.send('hello');
    await scene.until(() => scene.served.some((peer) => peer.text() === 'hello'), 'the bytes');
  });

  says('what is to be done soon is done once, in this turn, and what it sends goes down with the rest', async (scene) => {
    const address = scene.serve();
    const client = scene.dial(address);
    await scene.until(() => scene.served.length === 1 && client.isOpen, 'the connection');
    const served = scene.served[0]!;
    const done: string[] = [];
    served.onEvent = (event) => {
      if (event !== 'bytes' || served.text() !== 'ask') return;
      const last = { onSoon: () => void done.push('last') };
      const first = {
        onSoon: () => {
          done.push('first');
          served.send('answer');
          scene.engine.soon(last);
        },
      };
      scene.engine.soon(first);
      done.push('asked');
    };
    client.send('ask');
    await scene.until(() => client.text() === 'answer', 'the answer');
    await scene.runFor(20);
    assert.deepEqual(done, ['asked', 'first', 'last']);
  });

  says('a closed acceptor accepts no more, and its descriptor can be accepted on again', async (scene) => {
    const { fd, address, close } = scene.fixture.listen();
    scene.atEnd(close);
    const acceptor = scene.engine.accept(fd, scene);
    const first = scene.dial(address);
    await scene.until(() => scene.served.length === 1 && first.isOpen, 'the first connection');
    acceptor.close();
    const second = scene.dial(address);
    await scene.until(() => second.isOpen, 'the kernel connects it');
    await scene.runFor(20);
    assert.equal(scene.served.length, 1);
    scene.acceptors.push(scene.engine.accept(fd, scene));
    await scene.until(() => scene.served.length === 2, 'accepted by the heir');
  });

  says('many connections at once are all accepted', async (scene) => {
    const address = scene.serve();
    const clients = Array.from({ length: 100 }, (_, i) => scene.dial(address).send(`${i}`).end());
    scene.onPeer = (peer) => {
      peer.onEvent = (event) => {
        if (event === 'recvEnd') peer.send(peer.text()).end();
      };
    };
    await scene.until(() => clients.every((client) => client.closedCount === 1), 'all served');
    assert.deepEqual(
      clients.map((client) => client.text()),
      clients.map((_, i) => `${i}`),
    );
  });

  says('an accept without descriptors is a fault, and goes on when resumed', async (scene) => {
    const address = scene.serve();
    const acceptor = scene.acceptors[0]!;
    const before = scene.dial(address);
    await scene.until(() => scene.served.length === 1 && before.isOpen, 'a connection');
    acceptor.pause();
    // The turn in which a driver cancels what it has under way.
    await scene.runFor(20);
    const client = scene.dial(address);
    await scene.until(() => client.isOpen, 'the kernel connects it');
    const restore = scene.fixture.exhaustDescriptors();
    acceptor.resume();
    try {
      await scene.until(() => scene.acceptErrnos.length > 0, 'the fault');
      await scene.runFor(20);
    } finally {
      restore();
    }
    assert.deepEqual(scene.acceptErrnos, [EMFILE], 'once: it has paused itself');
    assert.equal(scene.served.length, 1);
    acceptor.resume();
    await scene.until(() => scene.served.length === 2, 'accepted after all');
  });

  says('timers fire in order, not early, and not when cancelled', async (scene) => {
    const { engine } = scene;
    const fired: number[] = [];
    const early: string[] = [];
    const owner: TimerOwner = {
      onTimer(ms) {
        if (engine.now < since + ms) early.push(`${ms} after ${engine.now - since}`);
        fired.push(ms);
      },
    };
    await scene.until(() => true, 'a turn');
    const since = engine.now;
    const delays = [120, 20, 60, 90, 40];
    const tickets = delays.map((ms) => engine.setTimer(ms, owner, ms));
    engine.cancelTimer(tickets[2]!);
    engine.cancelTimer(tickets[2]!);
    await scene.until(() => fired.length === 4, 'four timers');
    await scene.runFor(20);
    assert.deepEqual(fired, [20, 40, 90, 120]);
    assert.deepEqual(early, []);
    engine.cancelTimer(tickets[0]!);
  });

  says('what has arrived is told before a timer that came due while the machine stood still', async (scene) => {
    const { engine } = scene;
    const [client, server] = await scene.pair();
    const told: string[] = [];
    server.onEvent = (event) => void told.push(event);
    const onTimer = (): void => {
      client.send('!');
      engine.setTimer(DUE_MS, { onTimer: () => void told.push('timer') }, 0);
      const end = performance.now() + 4 * DUE_MS;
      while (performance.now() < end);
    };
    engine.setTimer(0, { onTimer }, 0);
    await scene.until(() => told.length === 2, 'both');
    assert.deepEqual(told, ['bytes', 'timer']);
  });

  says('a timer that sets itself again at once does not keep bytes waiting', async (scene) => {
    const [client, server] = await scene.pair();
    let isOver = false;
    const owner: TimerOwner = {
      onTimer() {
        if (!isOver) scene.engine.setTimer(0, owner, 0);
      },
    };
    scene.engine.setTimer(0, owner, 0);
    client.send('through');
    await scene.until(() => server.text() === 'through', 'the bytes');
    isOver = true;
  });

  says('a timer set while the engine does not run counts from the call', async (scene) => {
    await scene.until(() => true, 'a turn');
    const real = scene.engine.name !== 'memory';
    const sleep = real ? 60 : 0;
    // Time passes while nobody turns the engine; the event is Node's own.
    await new Promise((resolve) => setTimeout(resolve, sleep));
    const since = performance.now();
    let after = -1;
    scene.engine.setTimer(50, { onTimer: () => void (after = performance.now() - since) }, 0);
    await scene.until(() => after >= 0, 'the timer');
    if (real) assert.ok(after >= 49.9, `it fired after ${after} ms`);
  });

  says('a write to a file reports later what it wrote, and holds its block until then', async (scene) => {
    const file = scene.fixture.file();
    scene.atEnd(file.close);
    for (const line of ['one\n', 'two\n', 'three\n']) await append(scene, file.fd, line);
    assert.equal(file.text(), 'one\ntwo\nthree\n');
  });

  says('a write that fails reports the errno', async (scene) => {
    const { blocks } = scene.engine;
    const block = blocks.takeSmall();
    let result = 0;
    scene.engine.write(999_999, block, blocks.start(block), blocks.start(block) + 3, (count) => {
      result = count;
    });
    blocks.release(block);
    assert.equal(result, 0, 'not inside the call');
    await scene.until(() => result !== 0, 'the answer');
    assert.equal(result, -EBADF);
  });

  says('a full pipe does not hold the loop up, and takes the rest when it is read', async (scene) => {
    const pipe = scene.fixture.pipe();
    if (pipe === null) return;
    scene.atEnd(pipe.close);
    const { engine } = scene;
    const { blocks } = engine;
    let written = 0;
    let isWaiting = false;
    const total = 400_000;
    const writeOn = () => {
      if (written >= total) return;
      const block = blocks.takeLarge();
      const start = blocks.start(block);
      isWaiting = true;
      engine.write(pipe.fd, block, start, start + Math.min(40_000, total - written), (count) => {
        isWaiting = false;
        assert.ok(count > 0, `result ${count}`);
        written += count;
        writeOn();
      });
      blocks.release(block);
    };
    writeOn();
    // The loop turns while the pipe is full: the timers of runFor() fire.
    await scene.runFor(60);
    assert.ok(written < total && isWaiting, 'the pipe is full');
    let read = 0;
    await scene.until(() => {
      read += pipe.read();
      return read >= total;
    }, 'all of it');
    await scene.until(() => written === total, 'the last answer');
  });

  says('onTurn comes before the events of each turn', async (scene) => {
    const [client, server] = await scene.pair();
    const { engine } = scene;
    let turns = 0;
    let turnOfBytes = -1;
    let wasInTurn = false;
    let nowInTurn = 0;
    engine.onTurn = () => {
      turns++;
      nowInTurn = engine.now;
      wasInTurn = true;
    };
    server.onEvent = () => {
      turnOfBytes = turns;
    };
    client.send('x');
    await scene.until(() => turnOfBytes >= 0, 'the byte');
    engine.onTurn = null;
    assert.ok(wasInTurn && turnOfBytes >= 1, `turn ${turnOfBytes}`);
    assert.ok(nowInTurn > 0);
  });

  says('now does not go backwards, and stands still within a turn', async (scene) => {
    const { engine } = scene;
    let last = engine.now;
    let backwards = 0;
    engine.onTurn = () => {
      if (engine.now < last) backwards++;
      last = engine.now;
    };
    let moved = -1;
    engine.setTimer(
      5,
      {
        onTimer() {
          const before = engine.now;
          const end = performance.now() + 3;
          while (performance.now() < end);
          moved = engine.now - before;
        },
      },
      0,
    );
    await scene.until(() => moved >= 0, 'the timer');
    await scene.runFor(30);
    engine.onTurn = null;
    assert.equal(moved, 0);
    assert.equal(backwards, 0);
  });

  says("Node's own loop gets its turns while the engine is busy", async (scene) => {
    const [client, server] = await scene.pair();
    // Ping-pong keeps the engine from ever waiting.
    for (const peer of [client, server]) {
      peer.keeps = false;
      peer.onEvent = (event) => {
        if (event === 'bytes') peer.send('x');
      };
    }
    client.send('x');
    let turns = 0;
    const gaps: number[] = [];
    let last = performance.now();
    const count = () => {
      turns++;
      const now = performance.now();
      gaps.push(now - last);
      last = now;
      if (turns < 6) setTimeout(count, 1);
      else scene.engine.stop();
    };
    setTimeout(count, 1);
    await scene.engine.run();
    assert.equal(turns, 6);
    // A turn comes every 50 ms; the rest is for a machine that is busy with others, and half of them for one that stands still.
    assert.ok(gaps.sort((a, b) => a - b)[2]! < 500, `gaps of ${gaps} ms`);
    client.onEvent = null;
    server.onEvent = null;
  });

  says('stop() inside a call of the engine ends run(), which may be called again', async (scene) => {
    const { engine } = scene;
    for (let i = 0; i < 3; i++) {
      let count = 0;
      engine.setTimer(
        1,
        {
          onTimer() {
            count++;
            engine.stop();
          },
        },
        0,
      );
      await engine.run();
      assert.equal(count, 1);
    }
    const [client, server] = await scene.pair();
    client.send('still there');
    await scene.until(() => server.text() === 'still there', 'the bytes');
    client.close(closeHow.reset);
  });

  says('the counters count', async (scene) => {
    const { enters, completions } = scene.engine.stats;
    const [client, server] = await scene.pair();
    client.send('x');
    await scene.until(() => server.receivedBytes === 1, 'a byte');
    assert.ok(scene.engine.stats.enters > enters);
    assert.ok(scene.engine.stats.completions > completions);
  });
}

/** Appends text; what a write leaves over is written by the next. */
async function append(scene: Scene, fd: number, text: string): Promise<void> {
  const { engine } = scene;
  const { blocks } = engine;
  const free = blocks.smallAvailable;
  while (text.length > 0) {
    const block = blocks.takeSmall();
    const start = blocks.start(block);
    blocks.bytes.set(Buffer.from(text), start);
    let result = 0;
    engine.write(fd, block, start, start + text.length, (count) => {
      result = count;
    });
    blocks.release(block);
    assert.equal(result, 0, 'not inside the call');
    assert.equal(blocks.smallAvailable, free - 1, 'the write holds the block');
    await scene.until(() => result !== 0, 'the write');
    assert.ok(result > 0, `result ${result}`);
    assert.equal(blocks.smallAvailable, free, 'the block is given back');
    text = text.slice(result);
  }
}
