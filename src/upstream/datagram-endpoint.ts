/** An endpoint to which datagrams are carried: a socket is connected for each client, so that answers and refusals are its own. */
import { constants } from 'node:os';
import type { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import type { DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { CarriedEndpoint } from './carried-endpoint.ts';
import { faultOfErrno } from './errno.ts';

export class DatagramEndpoint extends CarriedEndpoint {
  /** Of an error of a socket that is connected to it. */
  faultOf(errno: number): number {
    switch (errno) {
      // Of datagrams it is never said for want of a port: there is no address to connect from.
      case constants.errno.EADDRNOTAVAIL:
        return fault.unroutable;
      // inet_dgram_connect: no port is left.
      case constants.errno.EAGAIN:
        return fault.outOfPorts;
      default:
        return faultOfErrno(errno);
    }
  }

  /** A socket of one client; closed() follows once, when it was closed. */
  connect(owner: DatagramOwner, client: ClientAddress): DatagramSocket {
    const { engine } = this.parts;
    this.countOpen(1);
    if (this.shows(client)) {
      return engine.connectDatagrams(this.address, owner, client.text, true);
    }
    return engine.connectDatagrams(this.address, owner, this.sources.address(this.sources.next(engine.now)));
  }
}
