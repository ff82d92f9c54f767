/**
 * Recorder: the flight recorder of one worker. It keeps what was decided on the last requests, always, so that a request id from a log line or a
 * header can still be asked about.
 *
 * A ring for each kind of request, so that none pushes another out:
 *
 *     served    answered as usual                                                      4096
 *     refused   turned away by weir, or broken off by the client: 4xx                   512
 *     failed    answered 5xx, no answer, tried more than once, or slow                 1024
 *
 * A record is 512 bytes: 64 bytes of times, 128 of numbers, 320 of text (request id, client, host, path, detail). 2.75 MiB in all.
 *
 * Rules
 * 1. add() allocates nothing and reads no clock. Text is cut to its room, and its record says so.
 * 2. The query is not kept: it may hold secrets. Neither is any header field or body.
 * 3. Numbers are as in the plan of their epoch (ids, slots); names are the reader's business.
 */
import { fault, faults } from '../base/faults.ts';
import { methodNames } from '../base/head.ts';
import { type FoundMessage, type RequestRecord, recordKinds, type TryRecord } from '../state/channel.ts';
import { filterDecisionNames, protocolNames, stickyResultNames } from '../state/doors.ts';
import type { Exchange } from './exchange.ts';
import { TRIES_KEPT, TRY_STRIDE, tryAt, tryKind } from './trail.ts';

/** No answer's head within this time makes a request a slow one. */
export const SLOW_MS = 1000;
/** Records in one answer. */
export const RECENT_MAX = 200;
/** By kind, in the order of {@link recordKinds}. */
const SIZES: readonly number[] = [4096, 512, 1024];
const kind = Object.freeze({ served: 0, refused: 1, failed: 2 });

const RECORD_BYTES = 512;
const TIMES = 8;
const NUMBERS_AT = 16;
const TEXT_AT = 192;
const TEXT_BYTES = RECORD_BYTES - TEXT_AT;
/** W3C trace ids have 55 characters, weir's own about 15. A longer id of a trusted peer is found by its start and its length. */
const ID_BYTES_MAX = 64;
/** An IPv6 address has at most 45 characters. */
const CLIENT_BYTES_MAX = 45;
const HOST_BYTES_MAX = 64;
/** Host and path together. */
const TARGET_BYTES_MAX = 128;
