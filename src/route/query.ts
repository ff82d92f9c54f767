/**
 * Query parameters of a request target: `name=value` pairs between `&`, escapes decoded and `+` read as a space
 * (application/x-www-form-urlencoded). The first pair of a name counts (Gateway API, HTTPQueryParamMatch).
 */

/** Where {@link findQueryValue} puts the decoded value; grows to the longest query ever matched. */
let decoded = new Uint8Array(1024);

/** Bytes of the value found last. */
export function queryValueBytes(): Uint8Array {
  return decoded;
}

/** Looks for a parameter in bytes[start, end). Returns the length of its decoded value in {@link queryValueBytes}, or -1. */
export function findQueryValue(bytes: Uint8Array, start: number, end: number, name: Uint8Array): number {
  let i = start;
  while (i < end) {
    let n = 0;
    let isSame = true;
    // The name, decoded on the way.
    while (i < end && bytes[i] !== 61 /* = */ && bytes[i] !== 38 /* & */) {
      const c = decodeAt(bytes, i, end);
      i += c > 255 ? 3 : 1;
      if (n >= name.length || (c & 255) !== name[n]) isSame = false;
      n++;
    }
    if (isSame && n === name.length) {
      if (i < end && bytes[i] === 61) i++;
      if (decoded.length < end - i) decoded = new Uint8Array(end - i);
      let length = 0;
      while (i < end && bytes[i] !== 38) {
        const c = decodeAt(bytes, i, end);
        i += c > 255 ? 3 : 1;
        decoded[length++] = c & 255;
      }
      return length;
    }
    while (i < end && bytes[i] !== 38) i++;
    i++;
  }
  return -1;
}

/** The character at i; + 256 when it was a well-formed escape of three bytes. */
function decodeAt(bytes: Uint8Array, i: number, end: number): number {
  const c = bytes[i]!;
  if (c === 43 /* + */) return 32;
  if (c !== 37 /* % */ || i + 2 >= end) return c;
  const high = hex(bytes[i + 1]!);
  const low = hex(bytes[i + 2]!);
  return high < 0 || low < 0 ? c : 256 + ((high << 4) | low);
}

function hex(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
