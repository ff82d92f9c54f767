/** What the preface of a listener's connections has to find out, by its plan. */
import { CidrSet } from '../base/client-address.ts';
import { isByName, type ListenerPlan } from '../state/plan.ts';

/** What a listener wants to know before it serves a connection. */
export interface PrefaceNeeds {
  /** Peers whose line is believed; null: no line is looked for. */
  readonly from: CidrSet | null;
  readonly isRequired: boolean;
  /** HTTP and TLS are told apart from the rest. */
  readonly sniffsHttp: boolean;
  /** The names of a client hello are needed. */
  readonly sniffsTls: boolean;
  /** TLS is opened here, but for what a route takes by its names. */
  readonly opensTls: boolean;
  readonly handshakeMs: number;
}

/** null: every connection can be served unseen. */
export function prefaceNeeds(plan: ListenerPlan): PrefaceNeeds | null {
  const { proxyProtocol, protocol, streams } = plan;
  const sniffsHttp = protocol === 'auto';
  const opensTls = plan.tls !== null;
  const sniffsTls = opensTls || protocol === 'auto' || (protocol === 'tcp' && streams.some(isByName));
  if (proxyProtocol === null && !sniffsHttp && !sniffsTls) return null;
  const from = proxyProtocol === null ? null : new CidrSet(proxyProtocol.from);
  const isRequired = proxyProtocol?.isRequired ?? false;
  return { from, isRequired, sniffsHttp, sniffsTls, opensTls, handshakeMs: plan.tls?.handshakeMs ?? 0 };
}
