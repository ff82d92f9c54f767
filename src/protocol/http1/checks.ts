/**
 * Every way in which bytes can fail to be HTTP/1, one row each: what it is called, what it says, and which fault it is in a request and in
 * a response. Parsers pass a row by its number; 0 is "nothing wrong".
 */
import { type FaultName, fault } from '../../base/faults.ts';

type Row = readonly [name: string, text: string, request?: FaultName, response?: FaultName];

// biome-ignore format: a table reads best as one
const rows = [
  ['ok', ''],
  // Request line.
  ['emptyLines', 'too many empty lines before the request line'],
  ['notMethod', 'not the beginning of a request: a method is a token followed by one space'],
  ['methodTooLong', 'method longer than any known', 'methodNotImplemented'],
  ['targetForm', 'request target of a form this method does not have'],
  ['targetByte', 'byte that a request target cannot hold'],
  ['targetTooLong', 'request target too long', 'targetTooLong'],
  ['targetScheme', 'absolute target whose scheme is not http or https'],
  ['targetAuthority', 'authority in the request target is not host[:port]'],
  ['versionSyntax', 'HTTP version malformed'],
  ['versionUnknown', 'HTTP version other than 1.0 and 1.1', 'versionNotSupported'],
  ['startLineEnd', 'start line does not end in CR LF'],
  // Status line.
  ['statusSyntax', 'status line malformed'],
  ['reasonByte', 'control byte in the reason phrase'],
  // Field lines.
  ['headTooLarge', 'header section too large', 'headTooLarge', 'responseHeadTooLarge'],
  ['fieldTooLarge', 'field line too long', 'headTooLarge', 'responseHeaderTooLarge'],
  ['fieldsTooMany', 'too many fields', 'headTooLarge', 'responseHeadTooLarge'],
  ['leadingSpace', 'field line begins with white space: first field indented, or a folded line'],
  ['emptyName', 'empty field name'],
  ['spaceInName', 'white space in a field name or before its colon'],
  ['noColon', 'field line without a colon'],
  ['nameByte', 'byte that a field name cannot hold'],
  ['underscore', 'underscore in a field name'],
  ['bareCr', 'CR without LF'],
  ['bareLf', 'LF without CR'],
  ['valueByte', 'control byte in a field value'],
  // What fields say.
  ['hostTwice', 'Host given twice'],
  ['hostSyntax', 'Host is not host[:port]'],
  ['hostMissing', 'Host missing'],
  ['hostDiffers', 'Host differs from the authority of the target'],
  ['lengthSyntax', 'Content-Length is not a decimal number'],
  ['lengthTooLong', 'Content-Length has more than 15 digits', 'contentTooLarge'],
  ['lengthTwice', 'Content-Length given twice'],
  ['lengthAndCoding', 'Content-Length and Transfer-Encoding together'],
  ['lengthForbidden', 'Content-Length in an interim response'],
  ['codingTwice', 'Transfer-Encoding given twice'],
  ['codingSyntax', 'Transfer-Encoding is not `chunked`'],
  ['codingUnknown', 'a transfer coding before `chunked`', 'codingNotImplemented'],
  ['codingVersion', 'Transfer-Encoding in HTTP/1.0'],
  ['codingForbidden', 'Transfer-Encoding in a response that has no body'],
  ['connectionOptions', 'too many options in Connection'],
  ['expectation', 'Expect is not `100-continue`', 'expectationFailed'],
  ['interimTooMany', 'too many interim responses'],
  ['bodyTooLarge', 'body larger than the limit', 'contentTooLarge', 'responseBodyTooLarge'],
  // Chunked coding.
  ['chunkSize', 'chunk size is not a hexadecimal number', 'badRequestBody', 'badResponseBody'],
  ['chunkTooLarge', 'chunk size has too many digits', 'badRequestBody', 'badResponseBody'],
  ['chunkExtension', 'chunk extension malformed', 'badRequestBody', 'badResponseBody'],
  ['chunkExtensionTooLarge', 'chunk extensions too long', 'badRequestBody', 'badResponseBody'],
  ['chunkLineEnd', 'line in the chunked coding does not end in CR LF', 'badRequestBody', 'badResponseBody'],
  ['chunkDataEnd', 'chunk data is not followed by CR LF', 'badRequestBody', 'badResponseBody'],
  // End of the connection.
  ['cutHead', 'connection ended inside a head', 'clientAborted', 'responseIncomplete'],
  ['cutBody', 'connection ended inside a body', 'clientAborted', 'responseIncomplete'],
  ['noAnswer', 'connection ended before an answer', 'clientAborted', 'connectionTerminated'],
] as const satisfies readonly Row[];

export type CheckName = (typeof rows)[number][0];

/** Number of a check by its name. */
export const check: Readonly<Record<CheckName, number>> = Object.freeze(
  Object.fromEntries(rows.map((row, id) => [row[0], id])),
) as Record<CheckName, number>;

/** What a check says to people. */
export const checkTexts: readonly string[] = rows.map((row) => row[1]);

/** Fault of a check in a request head, and in a response head. */
export const requestFaults = Uint8Array.from(rows, (row: Row) => fault[row[2] ?? 'badRequest']);
export const responseFaults = Uint8Array.from(rows, (row: Row) => fault[row[3] ?? 'badResponse']);
