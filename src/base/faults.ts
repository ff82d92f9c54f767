/**
 * Faults: expected failures as values.
 *
 * One row each in one table, so that the log, the metric, the `Proxy-Status` header, the error body and the docs say the same
 * word. Reasons are the error types of RFC 9209 §2.3 where one exists; `ours` marks those that have none there.
 *
 * Rules
 * 1. A fault on the data path is a row of this table, passed by its number; nothing is allocated for it.
 * 2. `retry` answers "may another endpoint be asked?" from the view of the wire; relay/ also asks the method.
 */

/** Who is to blame. `balancer` covers weir's own decisions and limits. */
export type FaultSide = 'client' | 'balancer' | 'endpoint';

/** Where in the life of an exchange it happened. */
export type FaultPhase =
  | 'accept'
  | 'head'
  | 'body'
  | 'route'
  | 'filter'
  | 'balance'
  | 'queue'
  | 'resolve'
  | 'connect'
  | 'tls'
  | 'upgrade'
  | 'any';

/**
 * May the exchange be tried on another wire?
 * `never`; `ifReused`: only when the wire came from the keep-alive pool and nothing was answered (RFC 9112 §9.3.1);
 * `ifUnsent`: only when no byte of the request was sent; `always`.
 */
export type FaultRetry = 'never' | 'ifReused' | 'ifUnsent' | 'always';

/** One expected failure. */
export interface Fault {
  /** Index in {@link faults}; what the data path and the state table carry. */
  readonly id: number;
  readonly name: FaultName;
  /** The published word: RFC 9209 error type, or ours. Two rows may share it. */
  readonly reason: string;
  readonly side: FaultSide;
  readonly phase: FaultPhase;
  readonly retry: FaultRetry;
  /** Status answered to the client; 0 when none can be sent. */
  readonly status: number;
  /** The RFC 9209 type that goes out in `Proxy-Status` when `reason` is ours. */
  readonly proxyStatus: string;
  /** One sentence for people: error bodies and docs. Names no address. */
  readonly text: string;
}

type Row = readonly [
  name: string,
  reason: string,
  side: FaultSide,
  phase: FaultPhase,
  retry: FaultRetry,
  status: number,
  text: string,
  proxyStatus?: string,
];

// biome-ignore format: a table reads best as one
const rows = [
  ['none', 'none', 'balancer', 'any', 'never', 0, 'No fault.'],
  // The client's side.
  ['badRequest', 'http_request_error', 'client', 'head', 'never', 400, 'The request is not valid HTTP.'],
  ['badRequestBody', 'http_request_error', 'client', 'body', 'never', 400, 'The body of the request is not framed as HTTP requires.'],
  ['contentTooLarge', 'http_request_error', 'client', 'body', 'never', 413, 'The body of the request is larger than this listener accepts.'],
  ['targetTooLong', 'http_request_error', 'client', 'head', 'never', 414, 'The request target is longer than this listener accepts.'],
  ['headTooLarge', 'http_request_error', 'client', 'head', 'never', 431, 'The header section of the request is larger than this listener accepts.'],
  ['expectationFailed', 'http_request_error', 'client', 'head', 'never', 417, 'The expectation in the request cannot be met.'],
  ['codingNotImplemented', 'http_request_error', 'client', 'head', 'never', 501, 'The transfer coding of the request is not supported.'],
  ['methodNotAllowed', 'http_request_error', 'client', 'head', 'never', 405, 'This method is not allowed here.'],
  ['methodNotImplemented', 'http_request_error', 'client', 'head', 'never', 501, 'This method is not implemented.'],
  ['versionNotSupported', 'http_request_error', 'client', 'head', 'never', 505, 'This version of HTTP is not supported.'],
  ['misdirected', 'http_request_error', 'client', 'head', 'never', 421, 'This connection does not serve the requested host.'],
  ['requestTimeout', 'request_timeout', 'client', 'head', 'never', 408, 'The request did not arrive in time.', 'http_request_error'],
  ['requestBodyTimeout', 'request_timeout', 'client', 'body', 'never', 408, 'The body of the request did not arrive in time.', 'http_request_error'],
  ['clientAborted', 'client_aborted', 'client', 'any', 'never', 499, 'The client went away before the answer was complete.', 'connection_terminated'],
  ['clientReadTimeout', 'client_aborted', 'client', 'body', 'never', 0, 'The client read the response too slowly.', 'connection_write_timeout'],
  // weir's own decisions.
  ['destinationNotFound', 'destination_not_found', 'balancer', 'route', 'never', 404, 'No route matches this request.'],
  ['proxyLoop', 'proxy_loop_detected', 'balancer', 'route', 'never', 508, 'The request has passed here before.'],
  ['requestDenied', 'http_request_denied', 'balancer', 'filter', 'never', 403, 'The request is not allowed.'],
  ['unauthorized', 'http_request_denied', 'balancer', 'filter', 'never', 401, 'The request lacks valid credentials.'],
  ['rateLimited', 'rate_limited', 'balancer', 'filter', 'never', 429, 'Too many requests.', 'http_request_denied'],
  ['destinationUnavailable', 'destination_unavailable', 'balancer', 'balance', 'never', 503, 'No endpoint can take this request now.'],
  ['queueFull', 'connection_limit_reached', 'balancer', 'queue', 'never', 503, 'Too many requests are waiting.'],
  ['queueTimeout', 'queue_timeout', 'balancer', 'queue', 'never', 503, 'The request waited too long for an endpoint.', 'connection_limit_reached'],
  ['draining', 'draining', 'balancer', 'accept', 'never', 503, 'This balancer is shutting down.', 'destination_unavailable'],
  ['overload', 'overload', 'balancer', 'accept', 'never', 503, 'This balancer is overloaded.', 'connection_limit_reached'],
  ['configurationError', 'proxy_configuration_error', 'balancer', 'any', 'never', 500, 'The balancer is configured in a way that cannot serve this request.'],
  ['internalError', 'proxy_internal_error', 'balancer', 'any', 'never', 500, 'The balancer failed.'],
  ['unroutable', 'destination_ip_unroutable', 'balancer', 'connect', 'always', 502, 'The endpoint cannot be reached from here.'],
  ['outOfPorts', 'connection_limit_reached', 'balancer', 'connect', 'always', 503, 'No local port or descriptor was left to connect with.'],
  // The endpoint's side.
  ['dnsError', 'dns_error', 'balancer', 'resolve', 'always', 502, 'The name of the endpoint could not be resolved.'],
  ['dnsTimeout', 'dns_timeout', 'balancer', 'resolve', 'always', 504, 'The name of the endpoint was not resolved in time.'],
  ['connectionRefused', 'connection_refused', 'endpoint', 'connect', 'always', 502, 'The endpoint refused the connection.'],
  ['connectionTimeout', 'connection_timeout', 'endpoint', 'connect', 'always', 504, 'The endpoint did not accept the connection in time.'],
  ['tlsProtocolError', 'tls_protocol_error', 'endpoint', 'tls', 'always', 502, 'The TLS handshake with the endpoint failed.'],
  ['tlsCertificateError', 'tls_certificate_error', 'endpoint', 'tls', 'always', 502, 'The certificate of the endpoint was not accepted.'],
  ['tlsAlertReceived', 'tls_alert_received', 'endpoint', 'tls', 'always', 502, 'The endpoint sent a TLS alert.'],
  ['connectionTerminated', 'connection_terminated', 'endpoint', 'head', 'ifReused', 502, 'The endpoint closed the connection before it answered.'],
  ['responseTimeout', 'http_response_timeout', 'endpoint', 'head', 'ifUnsent', 504, 'The endpoint did not answer in time.'],
  ['readTimeout', 'connection_read_timeout', 'endpoint', 'body', 'never', 504, 'The endpoint stopped sending.'],
  ['writeTimeout', 'connection_write_timeout', 'endpoint', 'body', 'never', 504, 'The endpoint stopped reading.'],
  ['responseIncomplete', 'http_response_incomplete', 'endpoint', 'body', 'never', 502, 'The endpoint ended its answer early.'],
  ['badResponse', 'http_protocol_error', 'endpoint', 'head', 'never', 502, 'The answer of the endpoint is not valid HTTP.'],
  ['badResponseBody', 'http_protocol_error', 'endpoint', 'body', 'never', 502, 'The body of the endpoint’s answer is not framed as HTTP requires.'],
  ['responseHeadTooLarge', 'http_response_header_section_size', 'endpoint', 'head', 'never', 502, 'The header section of the answer is too large.'],
  ['responseHeaderTooLarge', 'http_response_header_size', 'endpoint', 'head', 'never', 502, 'A header field of the answer is too large.'],
  ['responseBodyTooLarge', 'http_response_body_size', 'endpoint', 'body', 'never', 502, 'The body of the answer is too large.'],
  ['upgradeFailed', 'http_upgrade_failed', 'endpoint', 'upgrade', 'never', 502, 'The endpoint did not switch protocols correctly.'],
  // Connections carried as they are. Nobody is to blame.
  ['streamIdle', 'idle_timeout', 'balancer', 'any', 'never', 0, 'The connection was idle for too long.', 'connection_read_timeout'],
  ['streamTotal', 'total_timeout', 'balancer', 'any', 'never', 0, 'The connection was open for too long.', 'connection_read_timeout'],
  ['badPreface', 'bad_preface', 'client', 'accept', 'never', 0, 'The connection did not begin as this listener requires.', 'http_request_error'],
] as const satisfies readonly Row[];

/** The names the code uses: `fault.badRequest`. */
export type FaultName = (typeof rows)[number][0];

/** Every fault by its number. */
export const faults: readonly Fault[] = rows.map((row: Row, id) =>
  Object.freeze({
    id,
    name: row[0] as FaultName,
    reason: row[1],
    side: row[2],
    phase: row[3],
    retry: row[4],
    status: row[5],
    text: row[6],
    proxyStatus: row[7] ?? row[1],
  }),
);

/** Number of a fault by its name: `fault.clientAborted`. `fault.none` is 0. */
export const fault: Readonly<Record<FaultName, number>> = Object.freeze(
  Object.fromEntries(faults.map((f) => [f.name, f.id])),
) as Record<FaultName, number>;
