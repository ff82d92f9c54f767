/** Keys: who asks. A key is a number here; policies are given what the data plane makes of a client's address. */
import { ClientAddress } from '../base/client-address.ts';
import { fmix32, xxhash32 } from '../base/hash.ts';
import { Head } from '../base/head.ts';
import type { Prng } from '../base/prng.ts';
import { HashKey } from '../route/route.ts';
import type { KeysModel } from './scenario.ts';

/** A function that draws keys 0 .. count - 1. */
export function keyDraw(model: KeysModel): (prng: Prng) => number {
  const { count } = model;
  switch (model.kind) {
    case 'uniform':
      return (prng) => prng.below(count);
    case 'nat':
      return (prng) => (count === 1 || prng.float() < model.share ? 0 : 1 + prng.below(count - 1));
    case 'zipf': {
      const sums = new Float64Array(count);
      let sum = 0;
      for (let key = 0; key < count; key++) sums[key] = sum += (key + 1) ** -model.exponent;
      return (prng) => firstAbove(sums, prng.float() * sum);
    }
  }
}

function firstAbove(sums: Float64Array, at: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sums[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

const byClient = new HashKey({ kind: 'client', name: '', v4Bits: 32, v6Bits: 128 });
/** Nobody looks at it: the key is the client. */
const noHead = new Head(new Uint8Array(0), 0);

/** Hashes of so many client addresses, spread over the whole of IPv4 so that no two share a network by design. */
export function addressHashes(count: number, seed: number): Uint32Array {
  const address = new ClientAddress();
  address.family = 4;
  const hashes = new Uint32Array(count);
  for (let key = 0; key < count; key++) {
    // A bijection: different keys are different addresses.
    address.word3 = fmix32((key + seed) | 0) | 0;
    hashes[key] = byClient.of(noHead, address, 0);
  }
  return hashes;
}

/** Hash of a key that is a text: an address as an address, anything else by its bytes. */
export function textHash(text: string): number {
  const address = new ClientAddress();
  if (address.set(text)) return byClient.of(noHead, address, 0);
  const bytes = new TextEncoder().encode(text);
  return xxhash32(bytes, 0, bytes.length, 0);
}
