/** Plan: where clients come in, and what they may do there. */
import type { Address } from '../base/wire.ts';
import type { Cidr, TargetPlan } from './plan-match.ts';
import type { StreamRoutePlan } from './plan-stream.ts';
import type { TlsListenerPlan } from './plan-tls.ts';

export interface ListenerPlan {
  id: number;
  name: string;
  addresses: Address[];
  /**
   * http: requests, by `plan.routes`. tcp: connections, by `streams`. udp: datagrams. auto: what the first bytes are: HTTP as http, TLS by `streams` (passed
   * through), anything else, and clients that say nothing for `sniffMs`, to the stream that matches all.
   */
  protocol: 'http' | 'tcp' | 'udp' | 'auto';
  /** tcp, auto and udp: the first that matches wins; sorted by precedence. The last one may match everything. */
  streams: StreamRoutePlan[];
  /** How long tcp with names to look for, and auto, wait for the first bytes of the client. 5 s. */
  sniffMs: number;
  /** PROXY protocol at the front of each connection; null: none is expected. */
  proxyProtocol: { isRequired: boolean; from: Cidr[] } | null;
  udp: UdpListenerPlan | null;
  /**
   * TLS is opened here, except what a route by `serverName` or `alpn` in `streams` takes unopened; null: it is not, and passes as it is. http: who speaks no TLS is
   * turned away. tcp: so too, and what is opened goes to the streams that ask for no name. auto: opened TLS is for requests, and all else as without TLS.
   */
  tls: TlsListenerPlan | null;
  /**
   * Where requests, or connections and datagrams, go that no route matches; null: 404, or a reset. For people: it stands in `plan.routes` too, or, but for http,
   * in `streams`, as the last route of this listener (named `listener/NAME`), so that routes alone decide.
   */
  to: TargetPlan | null;
  /** Every request is answered by a 308 to https. */
  redirectToHttps: boolean;
  clientIp: {
    /** Peers whose forwarded fields are believed. */
    trust: Cidr[];
    /** Lower-case name: 'x-forwarded-for' (default), 'forwarded', or another field with one address. */
    header: string;
  };
  limits: ListenerLimitsPlan;
  timeouts: ListenerTimeoutsPlan;
}

export interface UdpListenerPlan {
  /** A client without a datagram in either direction is forgotten after this. 30 s. */
  idleMs: number;
  /** Answers after which a client is forgotten at once (DNS: 1); 0 = as many as come. */
  responses: number;
  /** Clients remembered per worker. 65536. */
  sessionsMax: number;
  /** Of one address, per worker; 0 = no limit. 1024. */
  sessionsPerIpMax: number;
  /** When sessionsMax is reached: the one idle longest goes, or the new one is refused. */
  whenFull: 'oldest' | 'refuse';
}

export interface ListenerLimitsPlan {
  /** Whole head, request line included. 32 KiB. */
  headBytesMax: number;
  /** One field line. 16 KiB. */
  fieldBytesMax: number;
  /** 100. */
  fieldsMax: number;
  /** Request target. 8 KiB. */
  targetBytesMax: number;
  /** Request body; 0 = no limit. */
  bodyBytesMax: number;
  /** Chunk extensions of one body, in all. 4 KiB. */
  chunkExtensionBytesMax: number;
  /** Per worker; 0 = only the worker's limit. */
  connectionsMax: number;
  /** Per client address and worker; 0 = none. 256. */
  connectionsPerIpMax: number;
  /** 10000. */
  requestsPerConnectionMax: number;
  /** Bytes held back for one slow reader, each direction. 256 KiB. */
  bufferBytesMax: number;
  /** Requests taken ahead of the answer on one connection. 8. */
  pipelineMax: number;
  /** Bytes a second that a body or a reader must make after `rateGraceMs`; 0 = none. 240 (Apache's and IIS's floor). */
  rateBytesMin: number;
  rateGraceMs: number;
  /** What to do with field names that contain `_`. */
  underscores: 'drop' | 'allow' | 'reject';
}

export interface ListenerTimeoutsPlan {
  /** First byte of a request (or the connection) to the end of its head. 10 s. */
  headerMs: number;
  /** Nothing going on between two requests. 60 s. */
  idleMs: number;
  /** No progress while a body is under way. 30 s. */
  bodyMs: number;
}
