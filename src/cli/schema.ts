/** `weir schema`: the JSON Schema of the config, for editors. */
import { jsonSchema } from '../control/config/config.ts';
import { exit, type Shell } from './shell.ts';

export interface SchemaOptions {
  draft?: '7' | '2020-12';
}

export async function schema(options: SchemaOptions, shell: Shell): Promise<number> {
  shell.out(JSON.stringify(jsonSchema(options.draft ?? '2020-12'), null, 2) + '\n');
  return exit.done;
}
