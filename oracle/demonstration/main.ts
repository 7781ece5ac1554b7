/** `npm start`: one simulated voyage over real parts. The story goes to stdout, or to stderr beside `--json`. */
import { describeError } from '../operating-error.ts';
import { Demonstration } from './demonstration.ts';
import { openDoor } from './door.ts';
import { parseOptions, usage, UsageError, type Options } from './options.ts';
import { listScenarios, type Scenarios } from './scenarios.ts';

const exitNotAsExpected = 1;
const exitUsage = 2;
const exitFailed = 3;

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(usage);
    return 0;
  }
  const known = await listScenarios();
  if (args.includes('--list')) {
    for (const [name, { title, ending }] of Object.entries(known.scenarios)) {
      process.stdout.write(`${name.padEnd(20)} ${title}; ends ${ending.order}\n`);
    }
    return 0;
  }
  return sail(parseOptions(args, Object.keys(known.scenarios)), known);
}

async function sail(options: Options, known: Scenarios): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const write = (line: string) => (options.json ? process.stderr : process.stdout).write(`${line}\n`);
  const demonstration = await Demonstration.open(options, known, write);
  try {
    const door = await openDoor(options.once ? 0 : options.port, () => demonstration.status);
    if (!options.once) write(`status             ${door.url}/api/v1/status`);
    try {
      const status = await demonstration.run(stop.signal);
      if (!options.once && !stop.signal.aborted) {
        write('The voyage is over; the chain, the oracle and the status stay until Ctrl-C.');
        await aborted(stop.signal);
      }
      if (options.json) process.stdout.write(`${JSON.stringify(status)}\n`);
      return status.endedAsExpected === true || (stop.signal.aborted && !options.once) ? 0 : exitNotAsExpected;
    } finally {
      await door.close();
    }
  } finally {
    await demonstration.close();
    await demonstration.clear();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${isUsage ? error.message : describeError(error)}\n${isUsage ? `\n${usage}` : ''}`);
  process.exitCode = isUsage ? exitUsage : exitFailed;
}
