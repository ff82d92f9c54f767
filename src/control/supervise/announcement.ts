/** Announcement: that weir has started, in the words of whoever reads it: a banner for eyes, an event for programs; and its state in a line for systemd. */
import { type Address, addressText } from '../../base/wire.ts';
import { socketKey } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import { banner } from './banner.ts';
import type { EventLog } from './events.ts';
import type { Sockets } from './sockets.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface AnnouncementParts {
  version: string;
  plan: Plan;
  /** The first one; undefined: it is gone again. */
  worker: Pick<WorkerProcess, 'engine' | 'engineWhy'> | undefined;
  workers: number;
  sockets: Pick<Sockets, 'all' | 'boundTo'>;
  admin: readonly Address[];
  /** What needs attention. */
  notes: readonly string[];
  readyMs: number;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** Tells a person who looks on; null: nobody does. */
  say: ((text: string) => void) | null;
  color: boolean;
}

export function announce(parts: AnnouncementParts): void {
  const { version, plan, worker, workers, sockets, admin, readyMs, events, color } = parts;
  const engine = worker?.engine ?? 'unknown';
  const notes = [...parts.notes];
  if (worker?.engineWhy)
    notes.push(`${engine === 'epoll' ? 'io_uring cannot be used here, so it is epoll: ' : ''}${worker.engineWhy}`);
  if (parts.say !== null) {
    const boundTo: Parameters<typeof banner>[0]['boundTo'] = (listener, address) =>
      sockets.boundTo(socketKey(listener, addressText(address))) ?? address;
    parts.say(banner({ version, engine, workers, readyMs, plan, boundTo, admin, notes, color }));
    return;
  }
  const listen = sockets.all().map(({ key, address }) => `${key.slice(0, key.indexOf('|'))}=${addressText(address)}`);
  events.info('ready', `weir ${version} is ready`, {
    engine,
    workers,
    epoch: plan.epoch,
    ms: Math.round(readyMs),
    listen: [...new Set(listen)].join(' '),
    admin: admin.length === 0 ? undefined : admin.map(addressText).join(' '),
  });
  for (const note of notes) events.warn('note', note);
}

/** STATUS= of sd_notify(3). */
export function statusLine({ epoch, pools }: Plan, door: Pick<ControlDoor, 'isReady'>): string {
  const endpoints = pools.flatMap((pool) => pool.endpoints);
  const down = endpoints.filter(({ slot }) => !door.isReady(slot)).length;
  return `STATUS=epoch ${epoch}, ${pools.length} pools, ${endpoints.length} endpoints, ${down} not ready`;
}
