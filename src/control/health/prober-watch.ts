/** prober-watch: lanes that have nothing to do until their socket says so (epoll, edge-triggered: one descriptor gives one event a look). */
import { EPOLL_CTL_ADD, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../../sys/constants.generated.ts';
import {
  close,
  EPOLL_EVENT_BYTES,
  EPOLL_EVENT_DATA,
  epollCreate,
  epollCtl,
  epollWait,
  type Mapping,
  mapLow,
} from '../../sys/libc.ts';
import type { Lane } from './prober-lane.ts';

const EVERYTHING = EPOLLIN | EPOLLOUT | EPOLLRDHUP | 0x8000_0000; // EPOLLET
/** Events taken at a look: as many as one prober has lanes. */
const EVENTS_MAX = 512;

// For all probers: nothing in it outlives a call.
const events: Mapping = mapLow(EVENTS_MAX * 16);
const eventWords = new Int32Array(events.buffer);

export class ProberWatch {
  private epoll = -1;

  /** False: the kernel has no room; the lane has to be tried again and again. A socket that is closed leaves by itself. */
  add(lane: Lane): boolean {
    if (this.epoll < 0) this.epoll = epollCreate();
    return this.epoll >= 0 && epollCtl(this.epoll, EPOLL_CTL_ADD, lane.fd, EVERYTHING, lane.index, 0) === 0;
  }

  /** How many have something to do; {@link indexOf} tells which. */
  look(): number {
    return this.epoll < 0 ? 0 : epollWait(this.epoll, events.address, EVENTS_MAX, 0);
  }

  /** Index of a lane, by its place in the last look. */
  indexOf(place: number): number {
    return eventWords[(place * EPOLL_EVENT_BYTES + EPOLL_EVENT_DATA) >> 2]!;
  }

  stop(): void {
    if (this.epoll >= 0) close(this.epoll);
    this.epoll = -1;
  }
}
