/**
 * prober-steps: the steps of one plain check. Each is tried once, and none waits.
 *
 * A step that returns true was the last one: the lane is to be closed, and `lane.heard` is its result, unless it was told before.
 */
import {
  EAGAIN,
  ECONNREFUSED,
  EINPROGRESS,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SO_ERROR,
  SOL_SOCKET,
  TCP_INFO,
  TCP_QUICKACK,
} from '../../sys/constants.generated.ts';
import { connectTo, getsockopt, isItsOwnPeer, mapLow, recv, send, setsockopt } from '../../sys/libc.ts';
import { LocalPortRange } from '../../sys/local-port-range.ts';
import { failed, failedBy, type Heard, passed } from './check.ts';
import { failedToConnect } from './check-way.ts';
import { type Lane, stage } from './prober-lane.ts';

/** Given to an endpoint to close when it has answered. */
const PARTING_MS = 100;
const RECV_BYTES = 64 * 1024;
/** First byte of TCP_INFO while the handshake is under way, and when it has failed (include/net/tcp_states.h). */
const TCP_SYN_SENT = 2;
const TCP_CLOSE = 7;

const localPorts = new LocalPortRange();

// One buffer for all probers: nothing in it outlives a call.
const received = mapLow(RECV_BYTES);
const receivedBytes = Buffer.from(received.buffer);

/** The first step, for a lane that has just begun. */
export function begin(lane: Lane): void {
  const { address, script } = lane.job!.check;
  // A request takes the ACK along; a check that only connects sends none. Who waits to be greeted must send it at once.
  if (lane.fd >= 0 && address.kind === 'ip' && script.opening?.length !== 0) setsockopt(lane.fd, IPPROTO_TCP, TCP_QUICKACK, 0);
  // What fails at once is found again by the next step, or is not: a port may be free by then.
  if (knock(lane)) lane.heard = null;
}

/** The next step, whichever it is. */
export function advance(lane: Lane, now: number): boolean {
  if (lane.stage === stage.knocking) return knock(lane);
  lane.isHopeful = false;
  if (lane.stage === stage.connecting) return seeConnection(lane);
  if (lane.stage === stage.speaking) return speak(lane);
  if (lane.stage === stage.hearing) return listen(lane, now);
  return part(lane);
}

/** The next step of a lane that has just begun, if an endpoint that is near may have made room for it by now. */
export function advanceEarly(lane: Lane): boolean {
  if (lane.stage === stage.connecting) return seeConnection(lane);
  return lane.stage === stage.speaking && speak(lane);
}

/** What it comes to when its time is over. */
export function lateness(lane: Lane): Heard {
  const { script, timeoutMs, address } = lane.job!.check;
  const isOpen = lane.isConnected || (lane.stage !== stage.knocking && address.kind === 'ip' && errorOf(lane) === 0);
  return isOpen
    ? failed(script.timeoutReason, `no answer within ${timeoutMs} ms`)
    : failed('connection_timeout', `no connection within ${timeoutMs} ms`);
}

/** Sends the SYN. A unix socket whose backlog is full (EAGAIN) is asked again. */
function knock(lane: Lane): boolean {
  const { address, sockaddr, script } = lane.job!.check;
  const result = lane.fd < 0 ? lane.fd : connectTo(lane.fd, sockaddr);
  if (result === -EAGAIN) return false;
  if (result < 0 && result !== -EINPROGRESS) return over(lane, failedToConnect(-result, address));
  lane.isConnected = result === 0;
  lane.stage = script.opening === null ? stage.connecting : script.opening.length > 0 ? stage.speaking : stage.hearing;
  return false;
}

function seeConnection(lane: Lane): boolean {
  const error = errorOf(lane);
  if (error === EINPROGRESS) return false;
  lane.isReset = true;
  if (error !== 0) return over(lane, failedBy(error));
  const metItself = localPorts.mayMeetItself(lane.job!.check.address) && isItsOwnPeer(lane.fd);
  return over(lane, metItself ? failedBy(ECONNREFUSED) : passed('connected'));
}

/** 0: connected; EINPROGRESS: not yet; else why not. */
function errorOf(lane: Lane): number {
  if (lane.job!.check.address.kind === 'unix') return 0;
  const state = getsockopt(lane.fd, IPPROTO_TCP, TCP_INFO) & 0xff;
  if (state === TCP_SYN_SENT) return EINPROGRESS;
  return state === TCP_CLOSE ? getsockopt(lane.fd, SOL_SOCKET, SO_ERROR) : 0;
}

function speak(lane: Lane): boolean {
  const opening = lane.job!.check.script.opening!;
  const share = Math.min(opening.length - lane.sent, RECV_BYTES);
  received.bytes.set(lane.sent === 0 && share === opening.length ? opening : opening.subarray(lane.sent, lane.sent + share), 0);
  const count = send(lane.fd, received.address, share, MSG_NOSIGNAL);
  if (count === -EAGAIN) return false;
  if (count < 0) return over(lane, failedBy(-count));
  lane.isConnected = true;
  lane.sent += count;
  if (lane.sent === opening.length) lane.stage = stage.hearing;
  lane.isHopeful = true;
  return false;
}

function listen(lane: Lane, now: number): boolean {
  const count = recv(lane.fd, received.address, RECV_BYTES, 0);
  if (count === -EAGAIN) return false;
  if (count < 0) return over(lane, failedBy(-count));
  lane.isConnected = true;
  const hearing = lane.hearing!;
  if (count === 0) {
    lane.isReset = true;
    return over(lane, hearing.end());
  }
  const { endpointCloses } = lane.job!.check.script;
  const heard = hearing.hear(receivedBytes.subarray(0, count));
  if (heard !== null) lane.tell(heard, now);
  if (!hearing.isOver) {
    // What came together with this, an end above all, will not be told of again.
    lane.isHopeful = true;
    return false;
  }
  if (!endpointCloses) return true;
  lane.stage = stage.parting;
  lane.deadline = Math.min(lane.deadline, now + PARTING_MS);
  return part(lane);
}

/** Waits for the endpoint to close. */
function part(lane: Lane): boolean {
  const count = recv(lane.fd, received.address, RECV_BYTES, 0);
  lane.isReset = count === 0;
  if (count <= 0 && count !== -EAGAIN) return true;
  lane.isHopeful = count > 0;
  return false;
}

function over(lane: Lane, heard: Heard): true {
  lane.heard = heard;
  return true;
}
