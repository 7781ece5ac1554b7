/** The simulated devices of one container as a process: arguments and environment in, JSON log lines on stderr. */
import { realClock } from './clock.ts';
import { logLines } from './log-line.ts';
import { openLink } from './device-mqtt.ts';
import { openLine } from './serial-line.ts';
import { scenarios, voyageSec } from './scenario.ts';
import { readSettings, usage } from './settings.ts';
import { runSimulator, type SimulatorDeps } from './simulator.ts';

async function main(): Promise<void> {
  const asked = readSettings(process.argv.slice(2), process.env);
  switch (asked.kind) {
    case 'help':
      process.stdout.write(`${usage}\n`);
      return;
    case 'list':
      process.stdout.write(`${JSON.stringify({ voyageSec, scenarios })}\n`);
      return;
    case 'public-key':
      process.stdout.write(`${JSON.stringify({ publicKey: asked.publicKey, device: asked.device })}\n`);
      return;
    case 'problems':
      process.stderr.write(`${asked.problems.join('\n')}\n\n${usage}\n`);
      process.exitCode = 2;
      return;
    case 'run': {
      const { clock, broker, options } = asked.settings;
      const stop = new AbortController();
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
      const log = logLines(clock, (line) => process.stderr.write(line));
      const link: SimulatorDeps['openLink'] = (signal, session) => openLink({ ...broker, ...session }, signal);
      const deps = { clock, realClock, log, openLink: link, openLine };
      await runSimulator(deps, options, stop.signal);
    }
  }
}

await main();
