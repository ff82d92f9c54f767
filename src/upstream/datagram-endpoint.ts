/** An endpoint to which datagrams are carried: a socket is connected for each client, so that answers and refusals are its own. */
import type { ClientAddress } from '../base/client-address.ts';
import type { DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { CarriedEndpoint } from './carried-endpoint.ts';

export class DatagramEndpoint extends CarriedEndpoint {
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
