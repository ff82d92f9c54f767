/**
 * What a listener does with request fields that have `_` in their names. Some programs take X_User and X-User for one (CGI, RFC 3875 §4.1.18), so a client could
 * say what only a proxy may. Here it is decided for the codec and for whoever asks what the codec would do.
 */
import { field } from './head.ts';

export const underscores = Object.freeze({ drop: 0, allow: 1, reject: 2 });

/** Does a request with such a name go no further? `rule`: one of {@link underscores}. */
export function isRefused(rule: number): boolean {
  return rule === underscores.reject;
}

/** Number under which such a field is kept, whose name has the number `id`: what is dropped is as good as removed. */
export function underscoredField(rule: number, id: number): number {
  return rule === underscores.drop ? field.removed : id;
}
