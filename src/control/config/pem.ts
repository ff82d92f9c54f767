/** PEM: certificates and keys that a config names by a path, or holds itself. Workers and checks open no files, so their text goes into the plan. */
import { X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { errorWord } from './fill.ts';
import type { ScalarNode } from './node.ts';

/** Bytes of one file. The bundle of a system has a quarter of it. */
const FILE_BYTES_MAX = 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

export interface PemFiles {
  /** Text of a file by its absolute path; throws as readFileSync does. */
  readFile: (path: string) => string;
  /** Files that were read or looked for are added. */
  seen: string[];
}

export interface Pem {
  text: string;
  /** As it is called in messages: what came from the environment is not quoted. */
  name: string;
  /** Absolute; null: the text stands in the config. */
  path: string | null;
}

export type TellPem = (code: 'no-such-file' | 'bad-value', message: string, help?: string) => void;

/** The value is a path, relative to the file it is written in, or the PEM itself. null: it cannot be read, and `tell` was told why. */
export function readPem(node: ScalarNode & { value: string }, files: PemFiles, tell: TellPem): Pem | null {
  const isText = node.value.includes('-----BEGIN');
  const path = isText ? null : resolve(dirname(resolve(node.source.file)), node.value);
  const name = node.raw ?? (path === null ? 'this text' : node.value);
  let text = node.value;
  if (path !== null) {
    if (!files.seen.includes(path)) files.seen.push(path);
    try {
      text = files.readFile(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
        tell(
          'bad-value',
          `${name} is no PEM: it is not even text`,
          'openssl x509 -inform DER, or openssl pkcs12 -nodes, makes PEM of it',
        );
      else tell('no-such-file', `${name} cannot be read: ${errorWord(error)}`);
      return null;
    }
  }
  if (text.length > FILE_BYTES_MAX) {
    tell('bad-value', `${name} has more than ${FILE_BYTES_MAX / 1024 / 1024} MiB`);
    return null;
  }
  return { text, name, path };
}

/** Every certificate in a text, at least one; null: `tell` was told why not. What stands between them, a private key perhaps, is left out. */
export function certificatesOf({ text, name }: Pem, tell: TellPem): X509Certificate[] | null {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    tell('bad-value', `${name} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)`);
    return null;
  }
  const certificates: X509Certificate[] = [];
  for (const block of blocks) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      tell('bad-value', `certificate ${certificates.length + 1} in ${name} is damaged`);
      return null;
    }
  }
  return certificates;
}

/** A scalar with a text in it that is not empty, else null. */
export function pemNode(node: unknown): (ScalarNode & { value: string }) | null {
  const scalar = node as ScalarNode | undefined;
  return scalar?.kind === 'scalar' && typeof scalar.value === 'string' && scalar.value !== '' ? (scalar as never) : null;
}
