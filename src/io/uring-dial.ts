/**
 * uring-dial: connecting over io_uring.
 *
 * The kernel reads the sockaddr when the SQE is submitted, which is later: each submission place has room for one, free again when the place is.
 */
import type { Address } from '../base/wire.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { sockaddrOf } from '../sys/socket.ts';
import type { Ring } from '../sys/uring.ts';
import * as submit from './uring-submit.ts';
import type { UringWire } from './uring-wire.ts';

/** Room of one sockaddr: the longest, of unix sockets, has 110 bytes. */
const STRIDE = 128;

export class Dials {
  private readonly ring: Ring;
  private readonly room: Mapping;
  /** By address object: endpoints keep theirs, so each is written once. */
  private readonly sockaddrs: WeakMap<Address, Uint8Array>;

  constructor(ring: Ring) {
    this.ring = ring;
    this.room = mapLow(ring.sqEntries * STRIDE);
    this.sockaddrs = new WeakMap();
  }

  /** Connects the wire's descriptor. Throws AddressError when the address cannot be written as a sockaddr. */
  connect(wire: UringWire, address: Address): void {
    let sockaddr = this.sockaddrs.get(address);
    if (sockaddr === undefined) {
      sockaddr = sockaddrOf(address);
      this.sockaddrs.set(address, sockaddr);
    }
    const at = this.ring.nextPlace() * STRIDE;
    this.room.bytes.set(sockaddr, at);
    wire.isConnecting = true;
    submit.connect(this.ring, wire.fd, this.room.address + at, sockaddr.length, wire.index, wire.generation);
  }

  close(): void {
    munmap(this.room);
  }
}
