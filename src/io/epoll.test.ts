import { conformance } from './conformance.ts';
import { openEpoll } from './epoll.ts';
import { kernelFixture } from './kernel-fixture.ts';

conformance('epoll', () => kernelFixture(openEpoll({ largeCount: 64, smallCount: 256 }), true));
