/**
 * Layout of the state table: where each column lies. Private to the room; the doors are the only ones who look here.
 *
 *   page 0      header: magic, layout version, sizes, epoch, version, stripes in use
 *   control     columns that only the control process writes: words, names, check counters
 *   stripe 0    columns that only the worker with stripe 0 writes
 *   ...
 *   stripe n    the stripe of the dead: what released stripes had counted; only the control process writes it
 *
 * Every part starts on a page of its own and is used from its front, so memory that nobody touched costs nothing: the table is
 * large in addresses and small in bytes. Numbers are 32-bit integers or 64-bit floats, each aligned to its size, so that on
 * x86-64 and arm64 a store is never seen by halves.
 *
 * Rules
 * 1. Any change of what lies where, or of what a field means, is a new LAYOUT_VERSION: old and new programs share the table during an upgrade.
 * 2. The numbers of faults, methods, rejections, handshake results and retry reasons are part of the layout: append, never reorder.
 */

/** "weir" in ASCII, little-endian: also a check of the byte order. */
export const MAGIC = 0x72696577;
export const LAYOUT_VERSION = 6;
/** The largest page of the machines in question is 64 KiB (arm64), yet 4 KiB keeps small tables small there too. */
const PAGE_BYTES = 4096;

/** How many things the table has room for. Part of the header, so that a process that attaches need not know them. */
export interface TableSizes {
  /** Endpoints, over all pools, those that left the configuration with work in flight included. */
  slotsMax: number;
  /** Workers alive at one time, those that drain included. */
  stripesMax: number;
  listenersMax: number;
  routesMax: number;
  poolsMax: number;
  filtersMax: number;
  /** Keys of rate limits remembered; a power of two. */
  limitRowsMax: number;
  /** Per stripe: combinations of listener, route, pool and status class seen. */
  exchangeRowsMax: number;
  /** Per stripe: combinations of the labels of the request, fault and in-flight counters seen. */
  countRowsMax: number;
}

/** Widths of the key fields in rows.ts: ids are stored plus one. */
export const LISTENERS_LIMIT = 254;
export const ROUTES_LIMIT = 4094;
export const POOLS_LIMIT = 4094;

export const defaultSizes: Readonly<TableSizes> = Object.freeze({
  slotsMax: 16384,
  stripesMax: 64,
  listenersMax: LISTENERS_LIMIT,
  routesMax: ROUTES_LIMIT,
  poolsMax: POOLS_LIMIT,
  filtersMax: 1024,
  limitRowsMax: 65536,
  exchangeRowsMax: 4096,
  countRowsMax: 16384,
});

/** Header, in 32-bit words. */
export const header = Object.freeze({
  magic: 0,
  layoutVersion: 1,
  slotsMax: 2,
  stripesMax: 3,
  listenersMax: 4,
  routesMax: 5,
  poolsMax: 6,
  exchangeRowsMax: 7,
  countRowsMax: 8,
  seed: 9,
  filtersMax: 10,
  limitRowsMax: 11,
  epoch: 16,
  /** Bumped after every change of health, admin or weight. */
  version: 17,
  /** Stripes 0..n-1 have to be summed. */
  stripesHigh: 18,
  /** Bumped when a slot was marked as cut. */
  cuts: 19,
  /** One word a stripe: stripe state. */
  stripes: 32,
});
export const stripeState = Object.freeze({ free: 0, used: 1 });

/** The control word of a slot: one load answers all there is to ask before a pick. */
export const word = Object.freeze({
  healthMask: 0xf,
  adminShift: 4,
  adminMask: 0xf,
  /** Taken out by what live traffic showed. */
  ejected: 1 << 8,
  /** Drains, and still takes requests that are bound to it by a cookie. */
  keeps: 1 << 9,
  /** Drains, and its deadline is over: what has no end of its own is ended. */
  cut: 1 << 10,
  flagsMask: 0xff00,
  percentShift: 16,
  percentMask: 0x7fff,
});

/** A name: state, owner (pool id of an endpoint), length in bytes, UTF-8. */
export const NAME_STRIDE = 256;
export const name = Object.freeze({ state: 0, owner: 4, length: 8, bytes: 12 });
export const NAME_BYTES_MAX = NAME_STRIDE - name.bytes;
export const nameState = Object.freeze({ free: 0, claimed: 1, leaving: 2 });

/** 15 bounds and the rest. */
export const BUCKETS = 16;
/** Buckets, then the sum in ms. */
export const HISTOGRAM = BUCKETS + 1;

/** Row of a slot in a stripe, in 64-bit floats: three cache lines. */
export const SLOT_STRIDE = 24;
export const slotField = Object.freeze({
  /** Ends by class: 0 no status, 1..5 = 1xx..5xx. */
  class: 0,
  latencySum: 6,
  latencyWeight: 7,
  latencyLandmark: 8,
  /** Faults of the endpoint's side, and those of them that were timeouts. */
  faults: 9,
  timeouts: 10,
  /** Ends in a row that were a fault of the endpoint's side or a 5xx. A gauge. */
  streak: 11,
  /** Connects by result, 6 kept. */
  connects: 12,
  /** 502, 503 and 504 of the endpoint. */
  gateway: 18,
  /** Ends in a row that were a fault of the endpoint's side, 502, 503 or 504. A gauge. */
  hardStreak: 19,
  /** Gauge: exchanges in flight that are tunnels. */
  tunnels: 20,
  /** Ends, and beginnings of tunnels, that spoke well of the endpoint: a status below 500 and no fault of its side. */
  good: 21,
  /** Ends that spoke against it: faults of its side and every 5xx. */
  bad: 22,
});
/** Results of a connect; label of weir_endpoint_connects_total. */
export const connectResult = Object.freeze({ ok: 0, refused: 1, timeout: 2, unroutable: 3, tls: 4, failed: 5 });
export const connectResultNames: readonly string[] = ['ok', 'refused', 'timeout', 'unroutable', 'tls', 'failed'];
/** Response time, connect time. */
export const SLOT_TIMES_STRIDE = 2 * HISTOGRAM + 2;
export const slotTimes = Object.freeze({ response: 0, connect: HISTOGRAM });

export const POOL_STRIDE = 48;
export const poolField = Object.freeze({
  /** Exchanges given to endpoints of the pool. */
  begun: 0,
  /** By retry reason, 8 kept. */
  retries: 1,
  budgetExhausted: 9,
  /** Gauge. */
  queue: 10,
  queueTimeouts: 11,
  queueTimes: 12,
  /** Gauge: exchanges that endpoints of the pool are working on. */
  inFlight: 30,
  hedges: 31,
  hedgesWon: 32,
  /** Requests that went to the fallback pool. */
  fallback: 33,
  /** By result: hit, new, moved, lost. */
  sticky: 34,
  /** Refused by the circuit breaker; would have been. */
  breakerOpen: 38,
  breakerWould: 39,
  /** Gauge: retries under way. */
  retriesNow: 40,
  /** Ends that spoke against one of its endpoints. */
  complaints: 41,
});

/** Decisions of a filter by kind, in the order of `filterDecisionNames`. */
export const FILTER_STRIDE = 8;

export const LISTENER_STRIDE = 64;
export const listenerField = Object.freeze({
  /** Gauges by protocol, 8 kept. */
  connections: 0,
  /** Counters by protocol, 8 kept. */
  connectionsTotal: 8,
  /** By rejection, 16 kept. */
  rejected: 16,
  received: 32,
  sent: 33,
  datagramsReceived: 34,
  datagramsSent: 35,
  /** By handshake result, 8 kept. */
  handshakes: 36,
  handshakeTimes: 44,
  /** Gauge: handshakes under way. */
  handshakesNow: 61,
});

/** What a worker says of itself, in 64-bit floats from the front of its stripe. */
export const stripeField = Object.freeze({
  heartbeat: 0,
  inForce: 1,
  busyRatio: 2,
  heapUsed: 3,
  blocksFree: 4,
  enters: 5,
  completions: 6,
  overflows: 7,
  logLinesDropped: 8,
  /** Counts that found no row of their own. */
  exchangeRowsDropped: 9,
  countRowsDropped: 10,
  /** What a latency weight of this stripe has to be multiplied with to count from now, and the landmark this holds for. */
  latencyScale: 11,
  latencyLandmark: 12,
  /** Ends that spoke against an endpoint: who watches looks closer when it has moved. */
  complaints: 13,
  /** Keys of rate limits forgotten while they were needed. */
  limitsForgotten: 14,
  /** Datagrams that were lost here. */
  datagramsDropped: 15,
});
/** Row counts, in 32-bit words from the front of the stripe, behind the floats. */
export const stripeWord = Object.freeze({ exchangeRows: 64, countRows: 65 });

/** Row of listener, route, pool and class: three histograms and two sums. */
export const EXCHANGE_STRIDE = 3 * HISTOGRAM + 5;
export const exchangeField = Object.freeze({
  total: 0,
  firstByte: HISTOGRAM,
  overhead: 2 * HISTOGRAM,
  bytesIn: 3 * HISTOGRAM,
  bytesOut: 3 * HISTOGRAM + 1,
});
export const COUNT_STRIDE = 1;

/** Words of one key of a rate limit. */
export const LIMIT_STRIDE = 4;

/** What the control process counts of a slot. */
export const CHECK_STRIDE = 19;
export const checkField = Object.freeze({
  passed: 0,
  failed: 1,
  /** By state entered, in the order of `stateNames`. */
  transitions: 2,
  /** By cause, in the order of `ejectionCauseNames`: done, and only said in shadow mode. */
  ejections: 8,
  wouldEject: 13,
  /** Checks that could not be made here. */
  notMade: 18,
});
export const POOL_CHECK_STRIDE = HISTOGRAM + 1;

/** Byte offsets of one keyed table within a stripe. */
export interface RowsLayout {
  index: number;
  indexSize: number;
  keys: number;
  values: number;
  stride: number;
  rowsMax: number;
  countWord: number;
  droppedField: number;
}

/** Byte offsets. Those of a stripe are relative to its start. */
export interface Layout {
  sizes: TableSizes;
  words: number;
  slotPool: number;
  slotNames: number;
  listenerNames: number;
  routeNames: number;
  poolNames: number;
  filterNames: number;
  /** Shared-clock ms since which each slot is fit, 64-bit floats; 0: never was. */
  readySince: number;
  /** Rows of rate limits, LIMIT_STRIDE words each: the one part that all workers write (limits.ts). */
  limits: number;
  checks: number;
  poolChecks: number;
  stripes: number;
  stripeBytes: number;
  inFlight: number;
  wiresIdle: number;
  wiresBusy: number;
  requests: number;
  slots: number;
  slotTimes: number;
  pools: number;
  listeners: number;
  filters: number;
  exchanges: RowsLayout;
  counts: RowsLayout;
  bytes: number;
}

class Cursor {
  at = 0;
  take(bytes: number): number {
    const start = this.at;
    this.at = start + Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    return start;
  }
}

function takeRows(cursor: Cursor, rowsMax: number, stride: number, countWord: number, droppedField: number): RowsLayout {
  // At most half full, so that probes stay short.
  const indexSize = 2 ** Math.ceil(Math.log2(2 * rowsMax));
  const index = cursor.take(4 * indexSize);
  const keys = cursor.take(8 * rowsMax);
  const values = cursor.take(8 * stride * rowsMax);
  return { index, indexSize, keys, values, stride, rowsMax, countWord, droppedField };
}

/** Where everything lies in a table of these sizes. */
export function layoutOf(sizes: TableSizes): Layout {
  const { slotsMax, listenersMax, routesMax, poolsMax, filtersMax, stripesMax, exchangeRowsMax, countRowsMax } = sizes;
  const whole = new Cursor();
  whole.take(4 * (header.stripes + stripesMax));
  const words = whole.take(4 * slotsMax);
  const slotPool = whole.take(4 * slotsMax);
  const slotNames = whole.take(NAME_STRIDE * slotsMax);
  const listenerNames = whole.take(NAME_STRIDE * listenersMax);
  const routeNames = whole.take(NAME_STRIDE * routesMax);
  const poolNames = whole.take(NAME_STRIDE * poolsMax);
  const filterNames = whole.take(NAME_STRIDE * filtersMax);
  const readySince = whole.take(8 * slotsMax);
  const checks = whole.take(8 * CHECK_STRIDE * slotsMax);
  const poolChecks = whole.take(8 * POOL_CHECK_STRIDE * (poolsMax + 1));
  const limits = whole.take(4 * LIMIT_STRIDE * sizes.limitRowsMax);
  const stripes = whole.at;

  const stripe = new Cursor();
  stripe.take(PAGE_BYTES);
  const inFlight = stripe.take(4 * slotsMax);
  const wiresIdle = stripe.take(4 * slotsMax);
  const wiresBusy = stripe.take(4 * slotsMax);
  const requests = stripe.take(8 * slotsMax);
  const slots = stripe.take(8 * SLOT_STRIDE * slotsMax);
  const times = stripe.take(8 * SLOT_TIMES_STRIDE * slotsMax);
  // One row more than there are ids: the last one is for "none of them".
  const pools = stripe.take(8 * POOL_STRIDE * (poolsMax + 1));
  const listeners = stripe.take(8 * LISTENER_STRIDE * (listenersMax + 1));
  const filters = stripe.take(8 * FILTER_STRIDE * (filtersMax + 1));
  const exchanges = takeRows(stripe, exchangeRowsMax, EXCHANGE_STRIDE, stripeWord.exchangeRows, stripeField.exchangeRowsDropped);
  const counts = takeRows(stripe, countRowsMax, COUNT_STRIDE, stripeWord.countRows, stripeField.countRowsDropped);

  return {
    sizes,
    words,
    slotPool,
    slotNames,
    listenerNames,
    routeNames,
    poolNames,
    filterNames,
    readySince,
    limits,
    checks,
    poolChecks,
    stripes,
    stripeBytes: stripe.at,
    inFlight,
    wiresIdle,
    wiresBusy,
    requests,
    slots,
    slotTimes: times,
    pools,
    listeners,
    filters,
    exchanges,
    counts,
    bytes: stripes + stripe.at * (stripesMax + 1),
  };
}

/** Why these bytes are not a table this program can use, or null when they are. */
export function layoutProblem(buffer: ArrayBufferLike): string | null {
  if (buffer.byteLength < PAGE_BYTES) return 'the state table is shorter than its header';
  const i32 = new Int32Array(buffer, 0, header.stripes);
  if (i32[header.magic] !== MAGIC) return 'this memory is not a state table';
  if (i32[header.layoutVersion] !== LAYOUT_VERSION) {
    return `the state table has layout ${i32[header.layoutVersion]}, this program knows layout ${LAYOUT_VERSION}`;
  }
  const needed = layoutOf(sizesIn(i32)).bytes;
  if (buffer.byteLength < needed) return `the state table has ${buffer.byteLength} bytes, its header asks for ${needed}`;
  return null;
}

/** The sizes a header tells. */
export function sizesIn(i32: Int32Array): TableSizes {
  return {
    slotsMax: i32[header.slotsMax]!,
    stripesMax: i32[header.stripesMax]!,
    listenersMax: i32[header.listenersMax]!,
    routesMax: i32[header.routesMax]!,
    poolsMax: i32[header.poolsMax]!,
    filtersMax: i32[header.filtersMax]!,
    limitRowsMax: i32[header.limitRowsMax]!,
    exchangeRowsMax: i32[header.exchangeRowsMax]!,
    countRowsMax: i32[header.countRowsMax]!,
  };
}
