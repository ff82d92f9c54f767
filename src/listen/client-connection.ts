import type { ClientAddress } from '../base/client-address.ts';

/** A client connection as the list of all of them sees it. The links are the list's. */
export interface ClientConnection {
  readonly address: ClientAddress;
  before: ClientConnection | null;
  after: ClientConnection | null;
  isIdle: boolean;
  older: ClientConnection | null;
  newer: ClientConnection | null;
  /** Closes an idle connection because others need the room, or the worker leaves. */
  shed(): void;
  /** The worker leaves: ends whatever is under way. */
  cut(): void;
}
