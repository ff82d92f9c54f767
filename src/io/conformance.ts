/**
 * conformance: what base/wire.ts promises, as sentences that every driver is held to: uring, epoll, memory.
 *
 * A driver's test gives a function that opens an engine with the world around it; each sentence gets a fresh one, and at its end
 * all blocks are back and all descriptors closed.
 */
import { closingSentences } from './conformance/closing.ts';
import { engineSentences } from './conformance/engine.ts';
import { pouringSentences } from './conformance/pouring.ts';
import type { OpenFixture } from './conformance/scene.ts';
import { streamSentences } from './conformance/streams.ts';

export { type Fixture, type OpenFixture, Scene, sentence, until } from './conformance/scene.ts';

/** Runs the suite under `name`. */
export function conformance(name: string, openFixture: OpenFixture): void {
  streamSentences(name, openFixture);
  closingSentences(name, openFixture);
  engineSentences(name, openFixture);
  pouringSentences(name, openFixture);
}
