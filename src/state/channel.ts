/**
 * The control channel: one line of JSON a message, over a socket pair that each worker inherits. Both planes know these types and
 * nothing else of each other.
 *
 * A worker process is started by path (src/worker/worker.ts) with one JSON argument, {@link WorkerStart}, and these descriptors: 3 the
 * channel (stream), 4 the state table (memfd), 5 descriptor passing (datagrams), 6... the listening sockets in the order of `sockets`. The
 * numbers in WorkerStart count.
 *
 * Rules for the worker
 * 1. A listening socket it holds is its own copy: it closes it when no plan names its key any more, after taking what waits in the queue.
 *    Control closes its own copy when every worker is on the new epoch. A key may occur more than once (a predecessor had more slots):
 *    accept on all of them.
 * 2. When the channel ends (control has died) it goes on serving the plan in force; a plan that was not yet in force is dropped, and a
 *    worker that has none in force leaves. From
 *    then on SIGTERM means: drain with the plan's own times, then exit. Before, signals other than SIGKILL are ignored: control says what to do.
 * 3. It lets any process of its user copy its descriptors (prctl PR_SET_PTRACER, PR_SET_PTRACER_ANY), so that the next control process can
 *    take sockets and table over.
 * 4. Draining: requests under way are finished; an idle connection is closed when its next answer says `Connection: close`, or at the
 *    end of the grace. A connection closed between two requests may lose one that is already on its way.
 * 5. stdout and stderr may close at any time.
 */
import type { TlsFacts } from '../base/tls-facts.ts';
import type { ListenerPlan, Plan } from './plan.ts';

/** A listening socket of one worker slot, or one that datagrams arrive at. `key`: {@link socketKey}. */
export interface SocketRef {
  key: string;
  /** Descriptor number in the worker. */
  fd: number;
}

/** Listener name + '|' + address text as in the plan; datagrams have ports of their own, and are told apart. */
export function socketKey({ name, protocol }: Pick<ListenerPlan, 'name' | 'protocol'>, address: string): string {
  return protocol === 'udp' ? `${name}|${DATAGRAMS}${address}` : `${name}|${address}`;
}
const DATAGRAMS = 'udp:';

/** Is it the key of a socket of this listener? */
export function isSocketOf({ name, protocol }: Pick<ListenerPlan, 'name' | 'protocol'>, key: string): boolean {
  return key.startsWith(`${name}|`) && isDatagramKey(key) === (protocol === 'udp');
}

/** Is it the key of a socket that datagrams arrive at? */
export function isDatagramKey(key: string): boolean {
  return key.startsWith(DATAGRAMS, key.indexOf('|') + 1);
}

export interface WorkerStart {
  /** 0-based slot: which of the SO_REUSEPORT sockets it serves. */
  slot: number;
  /** Stripe of the state table it writes. */
  stripe: number;
  engine: 'auto' | 'uring' | 'epoll';
  channelFd: number;
  /** A datagram socket pair on which further descriptors arrive before the plan that names them. */
  fdPassFd: number;
  tableFd: number;
  sockets: SocketRef[];
  /** The worker's own part of the process limit of descriptors. */
  descriptorsMax: number;
}

/** Down: control to worker. */
export type DownMessage =
  /**
   * Build it, answer ready or refused; it is in force when the table's epoch reaches plan.epoch. `newSockets`: keys of the descriptors
   * waiting on fdPass, in order; one datagram carries up to {@link DESCRIPTORS_PER_DATAGRAM} of them. Empty in the first plan: its sockets are those of
   * WorkerStart.
   */
  | { type: 'plan'; plan: Plan; newSockets: string[] }
  /** A plan that was sent will not be put in force: drop it, and close the sockets that came for it. */
  | { type: 'forget'; epoch: number }
  /** Stop accepting (what is in the queue first), finish, answer drained, exit 0. After `gracefulMs` idle connections, after `hardStopMs` all that is left is cut. */
  | { type: 'drain'; gracefulMs: number; hardStopMs: number }
  /** Leave at once. */
  | { type: 'stop' }
  /**
   * Keys of TLS session tickets (RFC 5077 §4), 80 bytes in hex each, the newest first: it seals, the others only open. The same for all workers; comes before the first plan
   * and whenever they change.
   */
  | { type: 'tickets'; keys: string[] }
  /** Reopen log files. */
  | { type: 'reopen' }
  /**
   * Look into the flight recorder, and answer found: for what has this id, for the latest requests, or for the latest connections and clients of datagrams. `ask` is given
   * back.
   */
  | { type: 'find'; ask: number; id: string }
  | { type: 'recent'; ask: number; limit: number; filter: RecordFilter }
  | { type: 'connections'; ask: number; limit: number; filter: ConnectionFilter };

/** Descriptors in one datagram on fdPass; the kernel takes 253. */
export const DESCRIPTORS_PER_DATAGRAM = 128;

/** Up: worker to control. */
export type UpMessage =
  | { type: 'hello'; pid: number; engine: 'uring' | 'epoll'; why: string | null }
  /** The plan with this epoch is built: it will serve it, new sockets included, from the moment the table's epoch reaches it. */
  | { type: 'ready'; epoch: number }
  | { type: 'refused'; epoch: number; reason: string }
  /** All is finished; `cut` connections with a request under way were closed by hardStop. */
  | { type: 'drained'; cut: number }
  | FoundMessage
  /** Something people should read; goes to the system log with these fields. */
  | { type: 'event'; level: 'info' | 'warn' | 'error'; msg: string; fields: Record<string, string | number | boolean> };

/** `fault`: answered 5xx, not at all, or by weir because something was wrong. `slow`: the head of the answer took over a second. */
export type RecordFilter = 'all' | 'fault' | 'slow';

/** Of connections and clients of datagrams: those that are over, of these the ones with a fault, or those that are not over. */
export type ConnectionFilter = 'ended' | 'fault' | 'open';

/**
 * Why a request is remembered, each kind for itself: served, turned away (4xx by weir, or broken off by the client), failed or slow. A connection: ended in order; broken off
 * by the client or a timeout, or without a route; failed, or slow to be taken.
 */
export type RecordKind = 'served' | 'refused' | 'failed';
export const recordKinds: readonly RecordKind[] = ['served', 'refused', 'failed'];

/** What one worker remembers of what was asked, the latest first. */
export interface FoundMessage {
  type: 'found';
  ask: number;
  records: RequestRecord[];
  connections: ConnectionRecord[];
  /** The id that was asked for is one of this worker's: it is remembered, forgotten, or of a request under way. */
  isOwn: boolean;
  reach: Reach;
}

/** What is remembered, each for itself. */
export const recordThings = ['requests', 'connections', 'datagrams'] as const;
export type RecordThing = (typeof recordThings)[number];
/** Ms since 1970 from which on every thing of a kind that ended is remembered. */
export type Reach = Record<RecordThing, Record<RecordKind, number>>;

/** One request as the flight recorder has it. Ids and slots are those of the plan of `epoch`, -1 = none; times in ms from `startedAt`. */
export interface RequestRecord {
  kind: RecordKind;
  /** Cut after 64 characters; `idLength` is the whole. */
  id: string;
  idLength: number;
  /** First byte of the request, ms since 1970. */
  startedAt: number;
  epoch: number;
  listener: number;
  route: number;
  pool: number;
  protocol: string;
  /** "_OTHER": none of the nine. '' with no path: no request could be read. */
  method: string;
  /** Cut after 64 characters; host and path together after 128. No query. */
  host: string;
  path: string;
  isCut: boolean;
  client: string;
  /** 0 = not known. */
  clientPort: number;
  isPeerTrusted: boolean;
  isSecure: boolean;
  /** Of the connection, when TLS was opened here. */
  tls: TlsFacts | null;
  /** To the client; 0 = no answer. `upstreamStatus`: the last endpoint's. */
  status: number;
  upstreamStatus: number;
  faultId: number;
  detail: string;
  /** What a hashing policy placed it by, unsigned 32 bits. */
  key: number;
  /** hit, new, moved, lost; null: the pool is not sticky. */
  sticky: string | null;
  /** "name:decision" of the rate limit that counted; ''. */
  limit: string;
  isReused: boolean;
  isTunnel: boolean;
  wasQueued: boolean;
  /** It went to a fallback pool; `pool` is that one. */
  fellBack: boolean;
  /** In flight in the pool at the first pick, this request included. */
  poolInFlight: number;
  /** All tries; `tries` has the first three and the last one. */
  triesCount: number;
  tries: TryRecord[];
  /** The head of the request was complete. */
  headMs: number;
  /** In pools' queues; waiting for wires; in tries that failed and between tries. */
  queuedMs: number;
  waitedMs: number;
  lostMs: number;
  /** The request had left; the head of the answer came; all was over. -1 = never. */
  sentMs: number;
  answeredMs: number;
  endedMs: number;
  /** Of bodies. */
  bytesIn: number;
  bytesOut: number;
}

export interface TryRecord {
  slot: number;
  /** How it came about: `fresh` asks the same endpoint again, because the kept wire had been closed while it was idle. */
  kind: 'ordinary' | 'hedge' | 'fresh';
  beganMs: number;
  /** -1: it was given up because it was not needed any more. */
  endedMs: number;
  faultId: number;
  /** 0 = no answer. */
  status: number;
  /** On the endpoint when it was picked, this request included. */
  inFlight: number;
}

/** One connection that was carried as it is, or the datagrams of one client, as the flight recorder has it. Ids, slots and times as in {@link RequestRecord}. */
export interface ConnectionRecord {
  /** `open`: it is not over, and told as it is by now. */
  kind: RecordKind | 'open';
  protocol: 'tcp' | 'udp';
  id: string;
  /** It was accepted; the first datagram. Ms since 1970. */
  startedAt: number;
  epoch: number;
  listener: number;
  /** -1: none matched. */
  route: number;
  pool: number;
  /** "unix:": over a unix socket. */
  client: string;
  clientPort: number;
  /** Who sent the PROXY line that named the client; '' = nobody did. */
  peer: string;
  peerPort: number;
  /** Of a client hello, opened here or not, or of a PROXY line; cut after 64 characters, and 16. '' = none. */
  serverName: string;
  alpn: string;
  tls: TlsFacts | null;
  faultId: number;
  /** What a hashing policy placed it by, unsigned 32 bits. */
  key: number;
  /** It stands in the pool's queue since then; -1: it does not. */
  waitsSinceMs: number;
  wasQueued: boolean;
  fellBack: boolean;
  poolInFlight: number;
  triesCount: number;
  /** The last one ends when the connection does. */
  tries: TryRecord[];
  /** It was known where it has to go. */
  beganMs: number;
  /** In queues, up to now. */
  queuedMs: number;
  /** The endpoint took it, said something first, and, of datagrams, either side said something last. -1 = never, or not known. */
  connectedMs: number;
  firstMs: number;
  lastMs: number;
  /** -1: it is not over. */
  endedMs: number;
  /** Who ended first. */
  endedBy: 'client' | 'endpoint' | null;
  bytesIn: number;
  bytesOut: number;
  /** Datagrams of the client, and to it. */
  datagramsIn: number;
  datagramsOut: number;
}
