import type { Blocks } from '../base/blocks.ts';
import type { HeadPool } from '../base/head-pool.ts';
import type { Engine } from '../base/wire.ts';
import type { Http1Limits } from '../protocol/http1/http1.ts';
import type { WorkerWriter } from '../state/doors.ts';

/** What upstream/ is given by the worker. */
export interface UpstreamParts {
  readonly engine: Engine;
  readonly blocks: Blocks;
  readonly heads: HeadPool;
  readonly table: WorkerWriter;
  /** How much of a response head is accepted. */
  readonly responseLimits: Http1Limits;
}
