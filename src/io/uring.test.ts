import { test } from 'node:test';
import { conformance } from './conformance.ts';
import { kernelFixture } from './kernel-fixture.ts';
import { UringEngine, type UringOptions } from './uring.ts';

function whyNot(): string | false {
  try {
    new UringEngine({ largeCount: 8, smallCount: 8, receiveDepth: 4 }).close();
    return false;
  } catch (error) {
    return `no io_uring here: ${(error as Error).message}`;
  }
}
const skip = whyNot();

const flushStallMs = 300;
const fixture = (options: Partial<UringOptions>) =>
  kernelFixture(
    new UringEngine({ largeCount: 256, smallCount: 512, receiveDepth: 64, flushStallMs, ...options }),
    true,
    flushStallMs,
  );

if (skip === false) {
  conformance('uring', () => fixture({}));
  conformance('uring, with tiny rings', () => fixture({ sqEntries: 4, cqEntries: 8, receiveDepth: 3 }));
  conformance('uring, as before Linux 6.17', () => fixture({ multishotBytes: 0 }));
} else test('uring: the conformance suite', { skip });
