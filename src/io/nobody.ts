import type { WireOwner } from '../base/wire.ts';

/** Owner of a wire nobody has taken yet, or nobody wants to hear of any more. */
export const nobody: WireOwner = {
  onOpen() {},
  onBytes() {},
  onRecvEnd() {},
  onDrained() {},
  onClosed() {},
};
