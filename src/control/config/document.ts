/**
 * Document: a file that is no config but is held to the same rules, such as a scenario of `weir simulate`: same languages, same units, same
 * form of error. Who owns the schema makes it of the words of shape.ts and units.ts.
 */
import { extname } from 'node:path';
import type { z } from 'zod';
import { type ConfigFault, type FaultCode, faultAt, sortFaults, topOf } from './fault.ts';
import { readJson } from './json.ts';
import { type Place, Source } from './source.ts';
import { readToml } from './toml.ts';
import { placeKey, walk } from './walk.ts';
import { readYaml } from './yaml.ts';

export { choice, count, either, named, shape, text, words } from './shape.ts';
export {
  bad,
  DURATION_EXPECTED,
  durationHelp,
  good,
  PERCENT_EXPECTED,
  percentHelp,
  type Read,
  readDuration,
  readPercent,
} from './units.ts';

export interface Document<T> {
  /** null when there is an error. */
  value: T | null;
  faults: ConfigFault[];
  /** A fault at the value with this path, or at the nearest one above it that was written. */
  faultAt(path: readonly string[], code: FaultCode, message: string, help?: string): ConfigFault;
}

/** Reads a text as the file of this name (its ending says the language) and holds it against a schema. Nothing is filled in or included. */
export function readDocument<S extends z.ZodType>(fileText: string, fileName: string, schema: S): Document<z.output<S>> {
  const source = new Source(fileName, fileText);
  const found: ConfigFault[] = [];
  const extension = extname(fileName).toLowerCase();
  const read = extension === '.json' ? readJson : extension === '.toml' ? readToml : readYaml;
  const root = read(source, found);
  let places = new Map<string, Place>();
  let value: z.output<S> | null = null;
  if (root !== null) {
    const walked = walk(root, schema, found);
    places = walked.places;
    if (!found.some((fault) => fault.severity === 'error')) value = schema.parse(walked.value);
  }
  return {
    value,
    faults: sortFaults(found),
    faultAt(path, code, message, help) {
      for (let length = path.length; length >= 0; length--) {
        const place = places.get(placeKey(path.slice(0, length)));
        if (place !== undefined) return faultAt(place, code, message, { path, help: help ?? null });
      }
      return faultAt(topOf(source), code, message, { path, help: help ?? null });
    },
  };
}
