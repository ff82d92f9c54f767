/**
 * Subset: which endpoints of a large pool a node uses. Each endpoint bids for the node by a hash of both names (rendezvous), and the node takes them in the order of their
 * bids: over many nodes every endpoint is taken about as often as any other, and when one is lost the next in order takes its place and no other member changes.
 */
import { xxhash32 } from '../base/hash.ts';
import { mix } from './tier.ts';

/** Another one than that of endpoints: a node named like an address is nothing special. */
const NODE_SEED = 0x6e6f6465;

/** Indexes of the ordinary endpoints in the order in which the node takes them. `hashes` of the addresses, `backup` 1 = backup. Off the hot path. */
export function ranksOf(node: string, hashes: Int32Array, backup: Uint8Array): Int32Array {
  const bytes = Buffer.from(node);
  const salt = mix(xxhash32(bytes, 0, bytes.length, NODE_SEED));
  const bid = (i: number): number => mix(hashes[i]! ^ salt) >>> 0;
  // Bids are equal only when the hashes are.
  return Int32Array.from([...hashes.keys()].filter((i) => backup[i] === 0).sort((a, b) => bid(b) - bid(a)));
}
