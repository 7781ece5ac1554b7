/** The agent as a field engineer has it, for tests: a program with a file, an environment and signals. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { passphrase, sensorPassword, until } from './fixture.ts';

export const main = fileURLToPath(import.meta.resolve('@coldproof/agent/main'));

export const environment = {
  ...process.env,
  COLDPROOF_PASSPHRASE: passphrase,
  SENSOR_PASSWORD: sensorPassword,
  COLDPROOF_DEMONSTRATION_CLOCK: undefined,
};

export function command(...args: string[]): { status: number | null; out: string; err: string } {
  const run = spawnSync(process.execPath, [main, ...args], { env: environment, encoding: 'utf8' });
  return { status: run.status, out: run.stdout, err: run.stderr };
}

/** As `command`, for what talks to a server of this very process. */
export async function runBeside(...args: string[]): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const read = async (stream: NodeJS.ReadableStream) => {
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    return text;
  };
  const [out, err] = await Promise.all([read(child.stdout), read(child.stderr), once(child, 'close')]);
  return { status: child.exitCode, out, err };
}

export type Line = { readonly event: string; readonly [field: string]: unknown };
export type Started = { child: ChildProcess; brokerPort: number; httpPort: number; lines: Line[] };

export async function start(file: string, extra: { [name: string]: string } = {}): Promise<Started> {
  const child = spawn(process.execPath, [main, '--config', file], {
    env: { ...environment, ...extra },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: Line[] = [];
  let started: { brokerPort: number; httpPort: number } | undefined;
  createInterface({ input: child.stderr }).on('line', (line) => {
    const parsed = JSON.parse(line) as Line & { brokerPort: number; httpPort: number };
    lines.push(parsed);
    if (parsed.event === 'started') started = parsed;
  });
  await until(() => started !== undefined || child.exitCode !== null, 'started');
  if (started === undefined) throw new Error(JSON.stringify(lines));
  return { child, ...started, lines };
}

export async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
  return child.exitCode;
}
