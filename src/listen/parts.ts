import type { Blocks } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import type { Head } from '../base/head.ts';
import type { HeadPool } from '../base/head-pool.ts';
import type { ClientStream } from '../base/stream.ts';
import type { StreamClient } from '../base/stream-client.ts';
import type { Engine } from '../base/wire.ts';
import type { WorkerWriter } from '../state/doors.ts';
import type { Listener } from './listener.ts';

/** Who answers requests: relay/, wired up by the worker. */
export interface RequestTaker {
  /**
   * A request head arrived; the taker owns `head` from here and gives it back to the pool. Its bytes are lent for the call. The taker sets `stream.sink` before it returns,
   * unless the response was completed inside the call.
   */
  onRequest(stream: ClientStream, listener: Listener, head: Head): void;
  /** No head could be read. The taker answers with `faultId` and the connection ends. */
  onBadRequest(stream: ClientStream, listener: Listener, faultId: number, detail: string): void;
  /**
   * A connection to be carried as it is: the taker owns its wire from here. The names are those of its client hello; bytes[start, end) of the block, lent for the
   * call, came already (NO_BLOCK: none).
   */
  onStream(
    client: StreamClient,
    listener: Listener,
    serverName: string,
    alpn: readonly string[],
    block: number,
    start: number,
    end: number,
  ): void;
  /** Is there a route that takes such a connection by the names of its client hello? It stays unopened then. */
  carriesByName(listener: Listener, serverName: string, alpn: readonly string[], client: ClientAddress): boolean;
}

/** What listen/ is given by the worker. */
export interface ListenParts {
  readonly engine: Engine;
  readonly blocks: Blocks;
  readonly heads: HeadPool;
  readonly table: WorkerWriter;
  readonly taker: RequestTaker;
}
