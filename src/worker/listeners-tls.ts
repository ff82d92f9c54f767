/**
 * Listeners' TLS: contexts for the listeners of the plan in force, and of the one that was sent and may be. Made before the worker says that it is ready: a certificate
 * that OpenSSL does not take makes it refuse the plan.
 */
import type { Engine } from '../base/wire.ts';
import type { ListenerPlan, Plan } from '../state/plan.ts';
import { ServerTls, TlsLoop } from '../tls/tls.ts';

type OfPlan = readonly (ServerTls | null)[];

export class ListenersTls {
  private readonly engine: Engine;
  /** Made when a plan has TLS. */
  private loop: TlsLoop | null = null;
  private tickets: readonly string[] = [];
  private current: OfPlan = [];
  private next: { epoch: number; of: OfPlan } | null = null;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Keys in hex, the newest first. */
  setTickets(keys: readonly string[]): void {
    this.tickets = keys;
    this.loop?.setTickets(keys);
  }

  /** Throws SystemError. */
  prepare(plan: Plan): void {
    const made: (ServerTls | null)[] = [];
    try {
      for (const listener of plan.listeners) made.push(listener.tls === null ? null : this.make(plan, listener));
    } catch (error) {
      close(made);
      throw error;
    }
    this.next = { epoch: plan.epoch, of: made };
  }

  /** A plan that was prepared is not put in force. */
  forget(epoch: number): void {
    if (this.next?.epoch !== epoch) return;
    close(this.next.of);
    this.next = null;
  }

  /** The plan that was prepared last is in force. */
  force(): void {
    if (this.next === null) return;
    const old = this.current;
    this.current = this.next.of;
    this.next = null;
    close(old);
  }

  /** Of a listener of the plan in force; null: it has none. */
  of(index: number): ServerTls | null {
    return this.current[index] ?? null;
  }

  private make(plan: Plan, { tls }: ListenerPlan): ServerTls {
    if (this.loop === null) {
      this.loop = new TlsLoop(this.engine);
      this.loop.setTickets(this.tickets);
    }
    const { certificates, minVersion, alpn, strictSni } = tls!;
    return new ServerTls(this.loop, {
      certificates: certificates.map((index) => plan.certificates[index]!),
      minVersion,
      alpn,
      strictSni,
    });
  }
}

function close(all: OfPlan): void {
  for (const each of all) each?.close();
}
