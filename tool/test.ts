/**
 * The one command that says yes or no: lint, types, and every test file in a process of its own.
 *
 *     npm test                    everything
 *     npm test -- relay scenario  only files whose path holds one of the words
 *
 * Rules
 * 1. A file gets FILE_MS at most, then its whole process group is killed and it counts as a failed test.
 * 2. Files run as many at a time as there are cores (two at least, MAX_AT_ONCE at most). A file that says `Runs alone` in its opening comment
 *    (it measures time or memory) runs after the others, by itself.
 * 3. The last line is `N passed, N failed, N skipped`; the exit code is 1 when anything failed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { END_LINE, type TestLine } from './test-reporter.ts';

/** One file, all its tests. */
const FILE_MS = 400_000;
/** One test, unless it sets its own. */
const TEST_MS = 90_000;
const MAX_AT_ONCE = 4;
/** How many of the slowest files are named. */
const SLOWEST = 8;

const root = join(import.meta.dirname, '..');
const scratch = mkdtempSync(join(tmpdir(), 'weir-test-'));
const words = process.argv.slice(2);
const startedAt = performance.now();

interface FileResult {
  path: string;
  lines: TestLine[];
  seconds: number;
  /** Everything it printed, shown when something failed. */
  output: string;
}

const running = new Set<ChildProcess>();
let fileNumber = 0;

/** Ends a test file with all it started: each is the leader of its own process group. */
function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

/** How often a file is looked at, and how long its process may live on when all its tests have ended. */
const LOOK_MS = 2000;
const STUCK_MS = 15_000;

function hasEnded(destination: string): boolean {
  try {
    return readFileSync(destination, 'utf8').endsWith(`${END_LINE}\n`);
  } catch {
    return false;
  }
}

/** After its end a file's output is read this much longer, then whatever it left behind is ended. */
const LEFT_BEHIND_MS = 2000;

function runFile(path: string): Promise<FileResult> {
  const destination = join(scratch, `${fileNumber++}.jsonl`);
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      // A test that timed out may have left a timer or a socket behind: end with the last test, not with the last handle.
      '--test-force-exit',
      `--test-reporter=${join(import.meta.dirname, 'test-reporter.ts')}`,
      `--test-reporter-destination=${destination}`,
      `--test-timeout=${TEST_MS}`,
      path,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, NODE_TEST_CONTEXT: undefined } },
  );
  running.add(child);
  let output = '';
  const keep = (chunk: string): void => {
    if (output.length < 1_000_000) output += chunk;
  };
  child.stdout!.setEncoding('utf8').on('data', keep);
  child.stderr!.setEncoding('utf8').on('data', keep);
  return new Promise((resolve) => {
    let isLate = false;
    let hasStuck = false;
    const timer = setTimeout(() => {
      isLate = true;
      killGroup(child);
    }, FILE_MS);
    // Once in a while node does not end although all tests have (seen under load, with files that hold nothing open): it is helped, and that is said.
    let endSeen = 0;
    const look = setInterval(() => {
      if (hasEnded(destination) && ++endSeen * LOOK_MS > STUCK_MS) {
        hasStuck = true;
        killGroup(child);
      }
    }, LOOK_MS);
    // A process that the file left behind may hold its output open: the file has ended all the same.
    child.on('exit', () => setTimeout(() => killGroup(child), LEFT_BEHIND_MS).unref());
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      clearInterval(look);
      running.delete(child);
      // What the file left behind would disturb the next one.
      killGroup(child);
      let lines: TestLine[] = [];
      try {
        lines = readFileSync(destination, 'utf8')
          .split('\n')
          .filter((text) => text !== '' && text !== END_LINE)
          .map((text) => JSON.parse(text) as TestLine);
      } catch {
        // It died before its first test; said below.
      }
      const seconds = (performance.now() - began) / 1000;
      const fail = (name: string): void => {
        lines.push({ name, verdict: 'failed', ms: seconds * 1000, error: '' });
      };
      if (hasStuck) console.log(`note ${path}: all tests ended, the process did not within ${STUCK_MS / 1000} s and was killed`);
      else if (isLate) fail(`(the file took longer than ${FILE_MS / 1000} s and was killed)`);
      else if (signal !== null) fail(`(the file was ended by ${signal})`);
      else if (code !== 0 && !lines.some((line) => line.verdict === 'failed')) fail(`(the file exited with code ${code})`);
      else if (lines.length === 0) fail('(the file holds no test)');
      resolve({ path, lines, seconds, output });
    });
  });
}

/** A checker that is one test. */
function runChecker(name: string, command: string, args: string[]): Promise<FileResult> {
  const began = performance.now();
  const child = spawn(join(root, 'node_modules/.bin', command), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  child.stderr!.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on('error', (error) => (output += error.message));
    child.on('close', (code) => {
      running.delete(child);
      const ms = performance.now() - began;
      const line: TestLine = { name, verdict: code === 0 ? 'passed' : 'failed', ms, error: '' };
      resolve({ path: name, lines: [line], seconds: ms / 1000, output });
    });
  });
}

async function runAll(jobs: (() => Promise<FileResult>)[], atOnce: number, results: FileResult[]): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < jobs.length) {
      const result = await jobs[next++]!();
      results.push(result);
      const failed = result.lines.filter((line) => line.verdict === 'failed').length;
      const skipped = result.lines.filter((line) => line.verdict === 'skipped').length;
      const counts = `${result.lines.length - failed - skipped} passed${failed > 0 ? `, ${failed} FAILED` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`;
      console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${result.path}  ${counts}  ${result.seconds.toFixed(1)} s`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

function findFiles(): string[] {
  const all = globSync(
    ['src/**/*.test.ts', 'tests/**/*.test.ts', 'tool/**/*.test.ts', 'bench/**/*.test.ts', 'examples/**/*.test.ts'],
    { cwd: root },
  ).sort();
  return words.length === 0 ? all : all.filter((path) => words.some((word) => path.includes(word)));
}

/** Does the file's opening comment ask for the machine to itself? */
function runsAlone(path: string): boolean {
  return /^.{0,4000}?^ ?(?:\*|\/\/) Runs alone\b/ms.test(readFileSync(join(root, path), 'utf8').slice(0, 4000));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const child of running) killGroup(child);
    rmSync(scratch, { recursive: true, force: true });
    process.exit(1);
  });
}

// The peers and tools that tests and benchmarks start. Without them the tests that need them say so and are skipped.
const setup = spawnSync(join(import.meta.dirname, 'setup-debian.sh'), { stdio: ['ignore', 'inherit', 'inherit'] });
if (setup.status !== 0) console.log('tool/setup-debian.sh failed: tests that need what it installs may be skipped');

const atOnce = Math.max(2, Math.min(MAX_AT_ONCE, availableParallelism()));
const files = findFiles();
// The long ones first, so that the end is not one file on one core. Size says nothing exact, but scenarios are the long ones.
const weight = (path: string): number => (path.startsWith('tests/') ? 1e9 : 0) + statSync(join(root, path)).size;
const together = files.filter((path) => !runsAlone(path)).sort((a, b) => weight(b) - weight(a));
const alone = files.filter(runsAlone);

const results: FileResult[] = [];
const checkers =
  words.length > 0 ? [] : [() => runChecker('lint', 'biome', ['check', '.']), () => runChecker('types', 'tsc', ['-p', '.'])];
await runAll([...checkers, ...together.map((path) => () => runFile(path))], atOnce, results);
await runAll(
  alone.map((path) => () => runFile(path)),
  1,
  results,
);
rmSync(scratch, { recursive: true, force: true });

let passed = 0;
let failed = 0;
let skipped = 0;
for (const result of results) {
  const failures = result.lines.filter((line) => line.verdict === 'failed');
  passed += result.lines.filter((line) => line.verdict === 'passed').length;
  skipped += result.lines.filter((line) => line.verdict === 'skipped').length;
  failed += failures.length;
  if (failures.length === 0) continue;
  console.log(`\n--- ${result.path}`);
  for (const line of failures) if (line.error !== '') console.log(`\n${line.name}\n${line.error}`);
  if (result.output.trim() !== '') console.log(`\noutput of ${result.path}:\n${result.output.trimEnd()}`);
}

const slowest = [...results].sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
console.log(`\nslowest: ${slowest.map((result) => `${result.path} ${result.seconds.toFixed(1)} s`).join(', ')}`);
if (failed > 0) {
  console.log('\nfailed:');
  for (const result of results)
    for (const line of result.lines) if (line.verdict === 'failed') console.log(`  ${result.path}: ${line.name}`);
}
console.log(`${results.length} files in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
