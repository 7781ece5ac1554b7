/**
 * Wakes the driver: logs each change of a device's state and runs the configured command for a lamp or a buzzer. The
 * command is a program with arguments, without a shell; one runs at a time and for `commandMsMax` at most, and nobody
 * waits for it. What changes meanwhile is told by the next one.
 */
import { execFile } from 'node:child_process';
import { Bell } from './bell.ts';
import type { Command, WarnConfig, WarningState } from './config-terms.ts';
import { gravest, type OrderWarnings } from './judge.ts';
import type { Log } from './log-line.ts';
import { describeError } from './operating-error.ts';
import type { DeviceStatus } from './status.ts';

/** By name of the device; only those that have terms. */
type Warnings = ReadonlyMap<string, OrderWarnings>;

export type WarnerStatus = {
  readonly ran: number;
  readonly failed: number;
  /** Of the last run; undefined when it ended well. */
  readonly failure: string | undefined;
};

export type RunCommand = (command: Command, environment: { readonly [name: string]: string }) => Promise<void>;

const commandMsMax = 10_000;
/** Silence is noticed by looking at the clock, since nothing else happens then. */
const lookMs = 1_000;

export class Warner {
  readonly #config: WarnConfig | undefined;
  readonly #devices: () => readonly DeviceStatus[];
  readonly #log: Log;
  readonly #run: RunCommand;
  readonly #bell = new Bell();
  readonly #told = new Map<string, WarningState>();
  #status: WarnerStatus = { ran: 0, failed: 0, failure: undefined };
  #running: Promise<void> | undefined;
  /** What the command was last run for. A start in good order runs nothing. */
  #signalled: WarningState = 'ok';

  constructor(
    config: WarnConfig | undefined,
    devices: () => readonly DeviceStatus[],
    log: Log,
    run: RunCommand = runBounded,
  ) {
    this.#config = config;
    this.#devices = devices;
    this.#log = log;
    this.#run = run;
  }

  status(): WarnerStatus {
    return this.#status;
  }

  changed(): void {
    this.#bell.ring();
  }

  /** Until `signal` is aborted. `onChange` is called after each look that found another state. */
  async run(signal: AbortSignal, onChange: () => void): Promise<void> {
    while (!signal.aborted) {
      const warnings: Warnings = new Map(this.#devices().flatMap(({ name, terms }) => (terms ? [[name, terms]] : [])));
      if (this.#tell(warnings)) onChange();
      this.#signal(warnings, onChange);
      await this.#bell.heard(signal, lookMs);
    }
    await this.#running;
  }

  #tell(warnings: Warnings): boolean {
    let hasChanged = false;
    for (const [device, { orderId, state, channels }] of warnings) {
      if (state === this.#told.get(device)) continue;
      hasChanged = true;
      this.#told.set(device, state);
      const [channel, told] = Object.entries(channels).find(([, each]) => each.state === state)!;
      const detail = state === 'ok' ? {} : { channel, why: told.why, since: told.since, dueAt: told.dueAt };
      this.#log(state === 'ok' ? 'info' : 'warn', 'terms', { device, orderId, state, ...detail });
    }
    return hasChanged;
  }

  #signal(warnings: Warnings, onChange: () => void): void {
    if (this.#config === undefined || this.#running !== undefined) return;
    const { command, clearCommand, on } = this.#config;
    const loud = [...warnings].filter(([, { state }]) => on.includes(state));
    const state = gravest(loud.map(([, each]) => each.state));
    if (state === this.#signalled) return;
    this.#signalled = state;
    const chosen = state === 'ok' ? clearCommand : command;
    if (chosen === undefined) return;
    const devices = loud.filter(([, each]) => each.state === state).map(([device]) => device);
    const environment = { COLDPROOF_STATE: state, COLDPROOF_DEVICES: devices.join(' ') };
    this.#running = this.#run(chosen, environment).then(
      () => this.#ended(undefined, onChange),
      (error: unknown) => this.#ended(describeError(error), onChange),
    );
  }

  #ended(failure: string | undefined, onChange: () => void): void {
    const { ran, failed } = this.#status;
    this.#status = { ran: ran + 1, failed: failed + (failure === undefined ? 0 : 1), failure };
    if (failure !== undefined) this.#log('error', 'warn-command-failed', { why: failure });
    this.#running = undefined;
    onChange();
    // What has changed while it ran is signalled now.
    this.#bell.ring();
  }
}

/** Rejects when it does not end well within `commandMsMax`. Its environment has no secret of ours. */
export function runBounded(
  [file, ...args]: Command,
  environment: { readonly [name: string]: string },
  msMax = commandMsMax,
): Promise<void> {
  const env = { PATH: process.env['PATH'] ?? '', ...environment };
  return new Promise((resolve, reject) => {
    const limits = { timeout: msMax, killSignal: 'SIGKILL', maxBuffer: 4_096, env } as const;
    execFile(file ?? '', args, limits, (error, _out, complaint) => {
      if (error === null) resolve();
      else if (error.killed === true) reject(new Error(`${file}: not ended within ${msMax} ms, killed`));
      else reject(new Error(`${describeError(error).split('\n')[0]!} ${complaint.slice(0, 200)}`.trim()));
    });
  });
}
