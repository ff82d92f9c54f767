/**
 * Rewriting what goes to the endpoint: host and path. The query stays. Works on the original path bytes; a path that is not
 * plain was checked by the match before (BAD_PATH), so that taking a prefix off cannot open a way out of it.
 */
import { type Head, targetForm } from '../base/head.ts';
import type { RoutePlan } from '../state/plan.ts';
import { prefixEnd } from './table.ts';

/** Applies the route's rewrite. Returns false when the head has no room for it (it may then be half applied: answer, do not forward). */
export function applyRewrite(route: RoutePlan, head: Head): boolean {
  const { rewrite } = route;
  if (rewrite === null) return true;
  if (rewrite.host !== null && !head.setAuthority(rewrite.host)) return false;
  // `OPTIONS *` names the server, not a path.
  if (head.form === targetForm.asterisk || head.form === targetForm.authority) return true;
  if (rewrite.path !== null) return head.setPath(rewrite.path);
  const { stripPrefix, addPrefix } = rewrite;
  let from = head.pathStart;
  if (stripPrefix !== null) {
    const after = prefixEnd(head.bytes, head.base + head.pathStart, head.base + head.pathEnd, stripPrefix);
    if (after >= 0) from = after - head.base;
  }
  const to = head.pathEnd;
  let addLength = addPrefix === null ? 0 : addPrefix.length;
  if (addLength > 0 && addPrefix!.charCodeAt(addLength - 1) === 47) addLength--;
  if (addLength === 0) {
    // What is left begins with a slash and stands in the head already.
    if (from < to) head.pathStart = from;
    else return head.setPath('/');
    return true;
  }
  if (head.used + addLength + 1 + to - from > head.room) return false;
  const at = head.used;
  head.write(addLength === addPrefix!.length ? addPrefix! : addPrefix!.slice(0, addLength));
  if (from < to) head.writeCopy(from, to);
  else head.write('/');
  head.pathStart = at;
  head.pathEnd = head.used;
  return true;
}
