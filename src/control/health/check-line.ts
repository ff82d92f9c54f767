/**
 * check-line: a PROXY line in front of what a check says, for endpoints that expect one on every connection.
 *
 * No client's connection is passed on, so it says so: UNKNOWN (version 1), LOCAL (version 2). A check that wants no more than a connection says nothing:
 * the endpoint's program never sees it (prober, Rule 3).
 *
 * Source: haproxy.org/download/3.2/doc/proxy-protocol.txt §2.1, §2.2.
 */
import type { Script } from './check.ts';

const unknown = Buffer.from('PROXY UNKNOWN\r\n');
// Signature, version 2 and LOCAL, no family, no more bytes.
const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');

/** The line of a version; empty for 0. */
export function checkLine(version: 0 | 1 | 2): Buffer {
  return version === 0 ? Buffer.alloc(0) : version === 1 ? unknown : local;
}

export function withLine(script: Script, version: 0 | 1 | 2): Script {
  if (version === 0 || script.opening === null) return script;
  return {
    opening: Buffer.concat([checkLine(version), script.opening]),
    timeoutReason: script.timeoutReason,
    endpointCloses: script.endpointCloses,
    begin: () => script.begin(),
  };
}
