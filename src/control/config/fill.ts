/**
 * Fill: `${NAME}`, `${NAME:-default}` and `${file:/path}` inside texts, after parsing, so that a value cannot change the structure of a config.
 * `$${` stands for `${` itself.
 */
import { dirname, resolve } from 'node:path';
import { type ConfigFault, faultAt } from './fault.ts';
import type { Node } from './node.ts';

/** Bytes of a file that stands for a value. */
const VALUE_BYTES_MAX = 64 * 1024;

export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>;
  /** Text of a file; throws as readFileSync does. */
  readFile: (path: string) => string;
}

/** The tree with all texts filled in; a node that needs nothing is kept as it is. */
export function fill(root: Node, around: Surroundings, faults: ConfigFault[]): Node {
  const filled = new Map<Node, Node>();
  const visit = (node: Node, path: readonly string[]): Node => {
    const before = filled.get(node);
    if (before !== undefined) return before;
    let made: Node = node;
    if (node.kind === 'map')
      made = { ...node, entries: node.entries.map((e) => ({ ...e, value: visit(e.value, [...path, e.key]) })) };
    else if (node.kind === 'list') made = { ...node, items: node.items.map((item, i) => visit(item, [...path, String(i)])) };
    else if (typeof node.value === 'string' && node.value.includes('${')) {
      made = { ...node, value: fillText(node.value, node, path, around, faults), raw: node.value };
    }
    filled.set(node, made);
    return made;
  };
  return visit(root, []);
}

const PLACEHOLDER = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;

function fillText(text: string, node: Node, path: readonly string[], around: Surroundings, faults: ConfigFault[]): string {
  return text.replace(PLACEHOLDER, (whole: string, inside: string | undefined) => {
    if (whole === '$${') return '${';
    const fault = (code: 'unset-variable' | 'no-such-file' | 'bad-value', message: string, help: string | null) => {
      faults.push(faultAt(node, code, message, { help, path }));
      return '';
    };
    if (inside === undefined) return fault('bad-value', 'a placeholder is not closed', 'write $${ for a plain ${');
    if (inside.startsWith('file:')) {
      const name = inside.slice(5);
      try {
        const content = around.readFile(resolve(dirname(resolve(node.source.file)), name));
        if (content.length > VALUE_BYTES_MAX) return fault('bad-value', `${name} is too long for a value`, null);
        return content.replace(/\r?\n$/, '');
      } catch (error) {
        return fault('no-such-file', `${name} cannot be read: ${errorWord(error)}`, null);
      }
    }
    const found = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside);
    if (!found) return fault('bad-value', `${whole} is no placeholder`, 'expected ${NAME}, ${NAME:-default} or ${file:/path}');
    // As in a shell, :- also stands in for a variable that is empty.
    const value = around.env[found[1]];
    if (value !== undefined && (value !== '' || found[2] === undefined)) return value;
    if (found[2] !== undefined) return found[2];
    return fault('unset-variable', `the environment has no ${found[1]}`, `set it, or write \${${found[1]}:-default}`);
  });
}

/** Why a file could not be read, in a word. */
export function errorWord(error: unknown): string {
  const code = (error as NodeJS.ErrnoException)?.code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES' || code === 'EPERM') return 'no permission';
  if (code === 'EISDIR') return 'it is a folder';
  return code ?? (error as Error)?.message ?? String(error);
}
