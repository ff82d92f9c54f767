/**
 * The key that hashing policies place a request by: the same bytes give the same key on every node, whatever the order of events.
 */

import { ClientAddress } from '../base/client-address.ts';
import { fmix32, xxhash32 } from '../base/hash.ts';
import { FIELD_STRIDE, field, fieldIdOf, type Head } from '../base/head.ts';
import type { BalanceAlgorithm, HashOnPlan, PoolPlan } from '../state/plan.ts';

/** Seed of all placement: shared by all nodes, so that two of them agree. */
const SEED = 0x77656972;

/** Policies that place by a key. */
const hashing: readonly BalanceAlgorithm[] = ['source', 'ring-hash', 'maglev', 'rendezvous'];

/** What requests to a pool are placed by; null: its policy asks for no key. */
export function hashKeyOf({ balance }: PoolPlan): HashKey | null {
  if (!hashing.includes(balance.algorithm)) return null;
  const { algorithm, hashOn } = balance;
  return new HashKey(algorithm === 'source' ? { ...hashOn, kind: 'client', name: '' } : hashOn);
}

export class HashKey {
  private readonly plan: HashOnPlan;
  private readonly id: number;
  /** By word of an address, the bits of it that count; and what is left of one, filled and used within one call. */
  private readonly v4Mask: number;
  private readonly v6Masks: Int32Array;
  private readonly network = new ClientAddress();

  constructor(plan: HashOnPlan) {
    this.plan = plan;
    this.v4Mask = maskOf(plan.v4Bits);
    this.v6Masks = Int32Array.of(0, 32, 64, 96).map((before) => maskOf(plan.v6Bits - before));
    this.id = plan.kind === 'header' ? fieldIdOf(plan.name) : field.other;
  }

  /** The key of a connection that is carried as it is: by its client, whatever else the plan names. An IPv4 address written as IPv6 is IPv4: ClientAddress sees to it. */
  ofClient(client: ClientAddress, random: number): number {
    if (client.family === 0) return random;
    const { network, v4Mask, v6Masks } = this;
    network.word0 = client.word0 & v6Masks[0]!;
    network.word1 = client.word1 & v6Masks[1]!;
    network.word2 = client.word2 & v6Masks[2]!;
    network.word3 = client.word3 & (client.family === 4 ? v4Mask : v6Masks[3]!);
    return fmix32(network.hash() ^ SEED);
  }

  /** The key of a request as received; `random` where it lacks what the key is made of, so that such requests spread. */
  of(head: Head, client: ClientAddress, random: number): number {
    const { kind, name } = this.plan;
    switch (kind) {
      case 'client':
        return this.ofClient(client, random);
      case 'path':
        return this.range(head, head.pathStart, head.pathEnd);
      case 'uri':
        return this.range(head, head.pathStart, head.queryEnd > 0 ? head.queryEnd : head.pathEnd);
      case 'host':
        return head.authorityStart === head.authorityEnd ? random : this.range(head, head.authorityStart, head.authorityEnd);
      case 'header': {
        const at = this.id === field.other ? head.findName(name) : this.id === field.host ? -2 : head.find(this.id);
        if (at === -2) return this.range(head, head.authorityStart, head.authorityEnd);
        return at < 0 ? random : this.range(head, head.fields[at * FIELD_STRIDE + 3]!, head.fields[at * FIELD_STRIDE + 4]!);
      }
      case 'cookie':
        for (let i = head.find(field.cookie); i >= 0; i = head.find(field.cookie, i + 1)) {
          const found = this.pair(head, head.fields[i * FIELD_STRIDE + 3]!, head.fields[i * FIELD_STRIDE + 4]!, 59 /* ; */);
          if (found >= 0) return found;
        }
        return random;
      case 'query': {
        if (head.queryStart < 0) return random;
        const found = this.pair(head, head.queryStart, head.queryEnd, 38 /* & */);
        return found < 0 ? random : found;
      }
    }
  }

  private range(head: Head, start: number, end: number): number {
    return xxhash32(head.bytes, head.base + start, head.base + end, SEED) >>> 0;
  }

  /** Key of the value of `name=value` among pairs between `separator`s, or -1. */
  private pair(head: Head, start: number, end: number, separator: number): number {
    const { bytes, base } = head;
    const { name } = this.plan;
    let at = start;
    while (at < end) {
      while (at < end && bytes[base + at] === 32) at++;
      let stop = at;
      while (stop < end && bytes[base + stop] !== separator) stop++;
      if (stop - at > name.length && bytes[base + at + name.length] === 61 /* = */) {
        let k = 0;
        while (k < name.length && bytes[base + at + k] === name.charCodeAt(k)) k++;
        if (k === name.length) return this.range(head, at + name.length + 1, stop);
      }
      at = stop + 1;
    }
    return -1;
  }
}

/** The first so many bits of a word; all of them from 32 on. */
function maskOf(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}
