/** What the flight recorder answers when control asks. */
import type { ConnectionRecord, DownMessage, FoundMessage, RequestRecord } from '../state/channel.ts';
import { DatagramSession } from './datagram-session.ts';
import { latest } from './recorder-ring.ts';
import type { Relay } from './relay.ts';
import { Tunnel } from './tunnel.ts';

export type RecorderQuestion = Extract<DownMessage, { type: 'find' | 'recent' | 'connections' }>;

/** `wallMs`: ms since 1970, now. */
export function foundIn(relay: Relay, question: RecorderQuestion, wallMs: number): FoundMessage {
  const { recorder, engine } = relay;
  const { now } = engine;
  let records: RequestRecord[] = [];
  let connections: ConnectionRecord[] = [];
  if (question.type === 'find') {
    records = recorder.find(question.id, now, wallMs);
    connections = findConnection(relay, question.id, wallMs);
  } else if (question.type === 'recent') records = recorder.recent(question.limit, question.filter, now, wallMs);
  else connections = connectionsOf(relay, question, wallMs);
  return {
    type: 'found',
    ask: question.ask,
    records,
    connections,
    isOwn: question.type === 'find' && relay.isOwnId(question.id),
    reach: {
      requests: recorder.reach(now, wallMs),
      connections: recorder.connections.reach(now, wallMs),
      datagrams: recorder.datagrams.reach(now, wallMs),
    },
  };
}

function findConnection(relay: Relay, id: string, wallMs: number): ConnectionRecord[] {
  const { connections, datagrams } = relay.recorder;
  const { now } = relay.engine;
  const { tunnels, sessions } = openOf(relay);
  const found = connections.find(id, tunnels, now, wallMs);
  return found.length > 0 ? found : datagrams.find(id, sessions, now, wallMs);
}

function connectionsOf(
  relay: Relay,
  { limit, filter }: RecorderQuestion & { type: 'connections' },
  wallMs: number,
): ConnectionRecord[] {
  const { connections, datagrams } = relay.recorder;
  const { now } = relay.engine;
  if (filter !== 'open') {
    const isFault = filter === 'fault';
    return latest([...connections.recent(limit, isFault, now, wallMs), ...datagrams.recent(limit, isFault, now, wallMs)], limit);
  }
  const { tunnels, sessions } = openOf(relay);
  return latest([...connections.open(limit, tunnels, now, wallMs), ...datagrams.open(limit, sessions, now, wallMs)], limit);
}

/** Those that have an endpoint, or wait for one. */
function openOf(relay: Relay): { tunnels: Tunnel[]; sessions: DatagramSession[] } {
  const open = [...relay.carried.every(), ...relay.everyWaiting()];
  return {
    tunnels: open.filter((one) => one instanceof Tunnel),
    sessions: open.filter((one) => one instanceof DatagramSession),
  };
}
