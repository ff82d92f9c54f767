/** uring-complete: every completion in the ring goes to whom its tag names (uring-tags.ts). */
import { assert } from '../base/assert.ts';
import { CQE_WORDS } from '../sys/uring.ts';
import type { UringEngine } from './uring.ts';
import { OPERATION_BITS, OPERATION_MASK, operation } from './uring-tags.ts';

export function complete(engine: UringEngine): void {
  const { ring, wires, stats } = engine;
  const { words, cqesAt, cqMask } = ring;
  let head = ring.cqHead;
  const tail = ring.cqTail();
  if (head === tail) return;
  if (ring.isOverflown) stats.overflows++;
  stats.completions += (tail - head) | 0;
  try {
    while (head !== tail) {
      const at = cqesAt + (head & cqMask) * CQE_WORDS;
      const tag = words[at]!;
      const generation = words[at + 1]!;
      const result = words[at + 2]!;
      const flags = words[at + 3]!;
      // Counted as seen before it is acted on: a callback that throws is not called again for it.
      head = (head + 1) | 0;
      const index = tag >>> OPERATION_BITS;
      const kind = tag & OPERATION_MASK;
      if (kind <= operation.connect) {
        const wire = wires[index]!;
        assert(wire.generation === generation, 'a slot is used again only after its last completion');
        if (kind === operation.receive) wire.onReceive(result, flags);
        else if (kind === operation.send) wire.onSend(result);
        else wire.onConnect(result);
      } else if (kind === operation.datagram) engine.datagrams!.complete(index, generation, result, flags);
      else completeRare(engine, kind, index, generation, result, flags);
    }
  } finally {
    ring.cqSeen(head);
  }
}

function completeRare(engine: UringEngine, kind: number, index: number, generation: number, result: number, flags: number): void {
  const { acceptors, wake, wires, writes } = engine;
  if (kind === operation.accept) acceptors[index]!.onAccept(result, flags);
  else if (kind === operation.timeout) wake.onTimeout(generation);
  else if (kind === operation.watch) wires[index]!.onWatch(result);
  else if (kind === operation.write) writes.onWrite(index, result);
  else if (kind === operation.writable) writes.onWritable(index, result);
  else if (kind === operation.node) wake.onNode();
  else if (kind === operation.cancelAccept) {
    if (acceptors[index]!.generation === generation) acceptors[index]!.onCancelFailed();
  } else if (kind >= operation.cancelReceive && wires[index]!.generation === generation) {
    wires[index]!.onCancelFailed(kind);
  }
}
