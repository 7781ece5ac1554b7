/** The simulated devices of one container as a process: arguments and environment in, JSON log lines on stderr. */
import { realClock } from './clock.ts';
import { logLines } from './log-line.ts';
import { scenarios, voyageSec } from './scenario.ts';
import { readSettings, usage } from './settings.ts';
import type { SimulatorDeps } from './simulator.ts';

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
      // Read where they are needed: a list does not wait for MQTT, nor a voyage without a line for its driver.
      const [{ openLink }, { runSimulator }] = await Promise.all([
        import('./device-mqtt.ts'),
        import('./simulator.ts'),
      ]);
      const link: SimulatorDeps['openLink'] = (signal, session) => openLink({ ...broker, ...session }, signal);
      const openLine: SimulatorDeps['openLine'] = async (path, baud) =>
        (await import('./serial-line.ts')).openLine(path, baud);
      const deps = { clock, realClock, log, openLink: link, openLine };
      await runSimulator(deps, options, stop.signal);
    }
  }
}

await main();
