/**
 * Guard: which requests the admin listener answers at all.
 *
 * A browser that visits a hostile page can be made to send requests to 127.0.0.1 or into the internal network: with the page's own name, whose DNS
 * answer was changed meanwhile (DNS rebinding), or across origins. So the Host must be an address or a name of this machine, and an Origin,
 * which only browsers send, must be that same host. Names that people use besides are told in `hosts`. No CORS header is ever sent.
 */
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** Why a request is refused, or null. `hosts`: further lower-case names. `isUnix`: a browser cannot reach a unix socket, and Host means nothing there. */
export function refusal(
  host: string | undefined,
  origin: string | undefined,
  isUnix: boolean,
  hosts: readonly string[],
): string | null {
  if (!isUnix) {
    const name = nameIn(host);
    if (name === null) return 'the Host field is missing or malformed';
    if (!isOwn(name, hosts)) return `the Host ${name} is not known here`;
  }
  if (origin !== undefined && !isSame(origin, host)) return 'requests from other origins are not answered';
  return null;
}

function isOwn(name: string, hosts: readonly string[]): boolean {
  // An address cannot be rebound.
  if (isIP(name) !== 0) return true;
  return name === 'localhost' || name.endsWith('.localhost') || name === hostname().toLowerCase() || hosts.includes(name);
}

/** Lower-case host of a Host field, without port and brackets; null when it is none. */
function nameIn(host: string | undefined): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '');
  return match === null ? null : (match[1] ?? match[2])!.toLowerCase();
}

function isSame(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  return (
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.host ===
      (host ?? '').toLowerCase().replace(/:(80|443)$/, (port) => {
        return port === (url.protocol === 'http:' ? ':80' : ':443') ? '' : port;
      })
  );
}
