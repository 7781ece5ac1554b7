/** The demonstration's processes, each in a group of its own, restarted when they die: what systemd does in a truck. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';

const restartAfterMs = 200;
/** A process that dies this often without having lived a second will not do better the next time. */
const earlyDeathsMax = 5;
const earlyMs = 1_000;
const stopGraceMs = 5_000;

export type ChildSpec = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What it knew dies with it, so there is no point in starting it again. */
  readonly isIrreplaceable?: boolean;
};

export class Child {
  readonly name: string;
  /** Rejects when the process cannot be kept alive; never resolves. */
  readonly failed: Promise<never>;
  restarts = 0;
  readonly #spec: ChildSpec;
  readonly #log: WriteStream;
  #process: ChildProcess;
  #isStopping = false;
  #earlyDeaths = 0;
  #lastLine = '';
  #fail: (error: Error) => void = () => undefined;

  constructor(spec: ChildSpec, logDir: string) {
    this.name = spec.name;
    this.#spec = spec;
    this.#log = createWriteStream(join(logDir, `${spec.name}.log`), { flags: 'a' });
    this.failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    // Whoever waits for the story races against it; nobody may be waiting yet when it happens.
    this.failed.catch(() => undefined);
    this.#process = this.#spawn();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Sends a signal and lets the supervision do what it does. */
  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** SIGTERM, and SIGKILL for one that does not heed it. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (isRunning(this.#process)) {
      const gone = once(this.#process, 'exit');
      this.#process.kill('SIGTERM');
      const patience = setTimeout(() => this.#process.kill('SIGKILL'), stopGraceMs);
      await gone;
      clearTimeout(patience);
    }
    this.#log.end();
  }

  get #lastWords(): string {
    return this.#lastLine === '' ? '' : `: ${this.#lastLine}`;
  }

  #spawn(): ChildProcess {
    const { command, args, env } = this.#spec;
    const startedMs = performance.now();
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C reaches the whole foreground group; the children are stopped in order, by stop().
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#lastLine = text.trimEnd().split('\n').at(-1) ?? this.#lastLine;
        this.#log.write(text);
      });
    }
    child.once('error', (error) => this.#fail(error));
    child.once('exit', (code, signal) => this.#onExit(code ?? signal ?? '', performance.now() - startedMs));
    return child;
  }

  #onExit(how: number | string, livedMs: number): void {
    if (this.#isStopping) return;
    this.#earlyDeaths = livedMs < earlyMs && typeof how === 'number' ? this.#earlyDeaths + 1 : 0;
    if (this.#spec.isIrreplaceable === true) {
      this.#fail(new Error(`${this.name} ended with ${how}, and with it what it held${this.#lastWords}`));
      return;
    }
    if (this.#earlyDeaths >= earlyDeathsMax) {
      this.#fail(new Error(`${this.name} ended with ${how} ${this.#earlyDeaths} times in a row${this.#lastWords}`));
      return;
    }
    setTimeout(() => {
      if (this.#isStopping) return;
      this.restarts += 1;
      this.#process = this.#spawn();
    }, restartAfterMs);
  }
}

/** Runs a command to its end and gives what it printed; its last words when it fails. */
export async function runToEnd({ name, command, args, env }: ChildSpec): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  let complained = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${name} ended with ${code ?? 'a signal'}: ${complained.trim() || printed.trim()}`);
  return printed;
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
