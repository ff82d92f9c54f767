/** The JSON Schema of the config language, for editors. */
import { z } from 'zod';
import { NAME } from './leaves.ts';
import { configSchema } from './schema.ts';

export type SchemaDraft = '7' | '2020-12';

export function jsonSchema(draft: SchemaDraft): Record<string, unknown> {
  const made = z.toJSONSchema(configSchema, {
    target: draft === '7' ? 'draft-7' : 'draft-2020-12',
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: out }) => {
      const { type } = zodSchema._zod.def;
      // Keys that begin with x- are ignored wherever keys are fixed.
      if (type === 'object') out.patternProperties = { '^x-': {} };
    },
  }) as Record<string, unknown>;
  const properties = made.properties as Record<string, Record<string, unknown>>;
  for (const key of ['listeners', 'certificates', 'pools', 'filters'])
    properties[key].propertyNames = { type: 'string', pattern: NAME.source };
  return { ...made, title: 'weir' };
}
