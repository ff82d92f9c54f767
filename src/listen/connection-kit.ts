/**
 * What a connection decodes, writes and is watched with. Kept by the listener and lent to one connection after the other: where connections are
 * short, making these anew would be most of the garbage.
 */
import { Carry } from '../base/carry.ts';
import { Http1Decoder, type Http1Limits, Http1Writer } from '../protocol/http1/http1.ts';
import type { ListenParts } from './parts.ts';
import { RateWatch } from './rate-watch.ts';

export class ConnectionKit {
  readonly limits: Http1Limits;
  readonly decoder: Http1Decoder;
  readonly writer: Http1Writer;
  readonly carry: Carry;
  readonly rate = new RateWatch();

  constructor(limits: Http1Limits, parts: ListenParts) {
    this.limits = limits;
    this.decoder = new Http1Decoder('request', limits);
    this.writer = new Http1Writer(parts.blocks);
    this.carry = new Carry(parts.blocks);
  }
}
