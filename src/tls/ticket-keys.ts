/** Ticket keys: with which session tickets (RFC 5077, RFC 8446 §4.6.1) are sealed and opened. The newest seals; the older ones only open what they sealed. */
import { TICKET_KEY_BYTES, TICKET_NAME_BYTES } from '../base/ticket-key.ts';
import { type Mapping, mapLow } from '../sys/memory.ts';
import { SSL_CTRL_SET_TLSEXT_TICKET_KEYS, SSL_CTX_ctrl } from '../sys/openssl.ts';

const KEYS_MAX = 4;

export class TicketKeys {
  count = 0;
  private readonly map: Mapping = mapLow(KEYS_MAX * TICKET_KEY_BYTES);
  private readonly pointers: bigint[] = [];

  constructor() {
    for (let i = 0; i < KEYS_MAX; i++) this.pointers.push(this.map.pointer + BigInt(i * TICKET_KEY_BYTES));
  }

  /** Keys in hex, the newest first; more than KEYS_MAX are left out. */
  set(keys: readonly string[]): void {
    this.count = Math.min(keys.length, KEYS_MAX);
    for (let i = 0; i < this.count; i++) this.map.bytes.set(Buffer.from(keys[i]!, 'hex'), i * TICKET_KEY_BYTES);
  }

  /** Which key sealed a ticket that begins with these bytes; 0, the newest, when none did. */
  find(name: Uint8Array): number {
    const { bytes } = this.map;
    for (let key = 1; key < this.count; key++) {
      let i = 0;
      while (i < TICKET_NAME_BYTES && bytes[key * TICKET_KEY_BYTES + i] === name[i]) i++;
      if (i === TICKET_NAME_BYTES) return key;
    }
    return 0;
  }

  /** Makes a context seal and open with one key. */
  apply(context: bigint, key: number): void {
    if (key < this.count) SSL_CTX_ctrl(context, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, BigInt(TICKET_KEY_BYTES), this.pointers[key]!);
  }
}
