/** A reporter for node:test that writes one line of JSON per finished test, and END_LINE behind the last: what tool/test.ts adds up. */
interface TestEvent {
  type: string;
  data: {
    name: string;
    nesting: number;
    skip?: boolean | string;
    todo?: boolean | string;
    details?: {
      type?: string;
      duration_ms?: number;
      error?: { message?: string; stack?: string; cause?: unknown; failureType?: string };
    };
  };
}

export interface TestLine {
  name: string;
  verdict: 'passed' | 'failed' | 'skipped';
  ms: number;
  error: string;
}

/** All tests of the file have finished. */
export const END_LINE = '"end"';

/** Names of the tests around the one that runs, by depth. */
const around: string[] = [];

function errorText(event: TestEvent): string {
  const error = event.data.details?.error;
  if (error === undefined) return '';
  const cause = error.cause;
  if (cause instanceof Error) return cause.stack ?? cause.message;
  return cause === undefined ? (error.stack ?? error.message ?? '') : String(cause);
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const { type, data } = event;
    if (type === 'test:summary') yield `${END_LINE}\n`;
    if (type === 'test:start') around[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const isFailed = type === 'test:fail' && !data.todo;
    // A suite counts only through what is in it, and a failure that only repeats a subtest's is not counted twice.
    if (data.details?.type === 'suite' && !isFailed) continue;
    if (isFailed && data.details?.error?.failureType === 'subtestsFailed') continue;
    const line: TestLine = {
      name: [...around.slice(0, data.nesting), data.name].join(' > '),
      verdict: isFailed ? 'failed' : data.skip !== undefined && data.skip !== false ? 'skipped' : 'passed',
      ms: data.details?.duration_ms ?? 0,
      error: isFailed ? errorText(event) : '',
    };
    yield JSON.stringify(line) + '\n';
  }
}
