/**
 * The normal form of a path: what routes are matched against when the path is not plain. What goes to the endpoint is the original.
 *
 * An endpoint may read a path in more than one way (RFC 3986 §6.2.2 leaves room, and servers take more), so the normal form takes the
 * reading that reaches furthest: a route that guards /admin must see every spelling of it.
 *
 * Rules
 * 1. Percent escapes are decoded once; `%2f` and `%5c` separate segments like `/`, and so does a raw `\`.
 * 2. A raw `;` and what follows in its segment is dropped (path parameters: Tomcat reads `/..;/` as `/../`).
 * 3. Empty segments vanish, `.` and `..` are resolved; a trailing slash stays.
 * 4. There is no normal form, and so no route, when an escape is malformed, when it stands for NUL, or when `..` climbs above the root.
 */

/** There is no normal form. */
export const NO_NORMAL_FORM = -1;

/**
 * Writes the normal form of bytes[start, end) to `out` (at least end - start + 1 bytes) and returns its length, or NO_NORMAL_FORM.
 */
export function normalizePath(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  out[0] = 47;
  // The segment under construction begins at `segmentAt`, behind a slash.
  let length = 1;
  let segmentAt = 1;
  let inParameter = false;
  let i = start;
  if (i < end && bytes[i] === 47) i++;
  for (; i <= end; i++) {
    let c = i < end ? bytes[i]! : 47;
    if (c === 37 /* % */) {
      if (i + 2 >= end) return NO_NORMAL_FORM;
      const high = hex(bytes[i + 1]!);
      const low = hex(bytes[i + 2]!);
      if (high < 0 || low < 0) return NO_NORMAL_FORM;
      c = (high << 4) | low;
      if (c === 0) return NO_NORMAL_FORM;
      i += 2;
    } else if (c === 59 /* ; */) {
      inParameter = true;
      continue;
    } else if (c === 0) {
      return NO_NORMAL_FORM;
    }
    if (c !== 47 && c !== 92 /* \ */) {
      if (!inParameter) out[length++] = c;
      continue;
    }
    inParameter = false;
    const segmentLength = length - segmentAt;
    const isEnd = i === end;
    if (segmentLength === 0) continue;
    if (segmentLength === 1 && out[segmentAt] === 46) {
      length = segmentAt;
      continue;
    }
    if (segmentLength === 2 && out[segmentAt] === 46 && out[segmentAt + 1] === 46) {
      if (segmentAt === 1) return NO_NORMAL_FORM;
      // Back over the slash in front of this segment to the one in front of its parent.
      segmentAt--;
      while (out[segmentAt - 1] !== 47) segmentAt--;
      length = segmentAt;
      continue;
    }
    if (!isEnd) {
      out[length++] = 47;
      segmentAt = length;
    }
  }
  return length;
}

/** Has this path a normal form? `/../x` has none: what follows a stripped prefix must not climb out of where it is put. */
export function hasNormalForm(bytes: Uint8Array, start: number, end: number): boolean {
  return normalizePath(bytes, start, end, new Uint8Array(end - start + 2)) !== NO_NORMAL_FORM;
}

function hex(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
