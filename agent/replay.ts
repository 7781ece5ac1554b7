/**
 * Sends kept envelopes once more, on request: to an oracle that has lost its store, or to show that it has not. Asked
 * for by a file in the state directory, which only who may read the keys can write; it stays until the last one is
 * answered, so a request outlives a restart. It is harmless: an oracle answers what it has with the same receipt.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sequenceMax } from '@coldproof/wire';
import type { Clock } from './clock.ts';
import type { Journal } from './journal.ts';
import type { KeptEnvelope } from './journal-bounds.ts';
import type { Log } from './log-line.ts';
import { describeError, OperatingError } from './operating-error.ts';

/** Sequences, both with it. */
export type ReplayRange = { readonly from: number; readonly to: number };

const resendsMax = 5;

const folderOf = (stateDir: string) => join(stateDir, 'replay');
const pathOf = (stateDir: string, device: string) => join(folderOf(stateDir), `${device}.json`);

/** For the running agent, or for the next one. Throws `state-unavailable`. */
export function requestReplay(stateDir: string, device: string, range: ReplayRange): void {
  const path = pathOf(stateDir, device);
  try {
    mkdirSync(folderOf(stateDir), { recursive: true, mode: 0o755 });
    // Readable for the agent's user when somebody else asks; the folder around it is not for everybody.
    writeFileSync(`${path}.tmp`, JSON.stringify(range), { mode: 0o644 });
    renameSync(`${path}.tmp`, path);
  } catch (cause) {
    throw new OperatingError('state-unavailable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

/** One device's replay over one uplink. Paced by receipts, one window after the other. */
export class Replay {
  readonly #journal: Pick<Journal, 'bounds'>;
  readonly #device: Uint8Array;
  readonly #windowBatches: number;
  readonly #resendMs: number;
  /** The request as it was written, for as long as it is under way. */
  #request: string | undefined;
  #range: ReplayRange | undefined;
  #onDone: (unanswered: number) => void = () => undefined;
  #resends = 0;
  /** Sent and not answered. */
  #inFlight = new Map<number, KeptEnvelope>();
  #next = 0;
  #sentMs = 0;

  constructor(
    journal: Pick<Journal, 'bounds'>,
    terms: { readonly device: Uint8Array; readonly windowBatches: number; readonly resendMs: number },
  ) {
    this.#journal = journal;
    this.#device = terms.device;
    this.#windowBatches = terms.windowBatches;
    this.#resendMs = terms.resendMs;
  }

  start(request: string, range: ReplayRange, onDone: (unanswered: number) => void): void {
    this.#request = request;
    this.#range = range;
    this.#onDone = onDone;
    this.#next = range.from;
    this.#inFlight.clear();
  }

  isOf(request: string): boolean {
    return this.#request === request;
  }

  /** What is to be sent now: the next window, or, unanswered for too long, the last one again. */
  take(nowMs: number): readonly KeptEnvelope[] {
    if (this.#range === undefined) return [];
    if (this.#inFlight.size > 0) {
      if (nowMs - this.#sentMs < this.#resendMs) return [];
      this.#resends += 1;
      // An oracle that does not take them (it lacks what was before) will not do so the next time either.
      if (this.#resends > resendsMax) return this.#end();
    } else {
      const { to } = this.#range;
      const found = this.#journal.bounds.kept(this.#device, this.#next, this.#windowBatches);
      const kept = found.filter(({ sequence }) => sequence <= to);
      this.#resends = 0;
      if (kept.length === 0) return this.#end();
      this.#inFlight = new Map(kept.map((envelope) => [envelope.sequence, envelope]));
      this.#next = (kept.at(-1)?.sequence ?? 0) + 1;
    }
    this.#sentMs = nowMs;
    return [...this.#inFlight.values()];
  }

  /** Whether the receipt of this sequence was waited for here. */
  answered(sequence: number): boolean {
    return this.#inFlight.delete(sequence);
  }

  wakeInMs(nowMs: number): number | undefined {
    if (this.#range === undefined) return undefined;
    return this.#inFlight.size === 0 ? 0 : Math.max(0, this.#sentMs + this.#resendMs - nowMs);
  }

  #end(): readonly KeptEnvelope[] {
    const unanswered = this.#inFlight.size;
    this.#inFlight.clear();
    this.#request = undefined;
    this.#range = undefined;
    this.#onDone(unanswered);
    return [];
  }
}

export type ReplayTarget = {
  readonly name: string;
  readonly replays: readonly Replay[];
  readonly ring: () => void;
};

/** Takes up what is asked for, at the start and while it runs, until `signal` is aborted. */
export async function runReplays(
  stateDir: string,
  targets: readonly ReplayTarget[],
  { log, timer }: { readonly log: Log; readonly timer: Clock },
  signal: AbortSignal,
): Promise<void> {
  const folder = folderOf(stateDir);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const takeUp = () => {
    for (const target of targets) take(stateDir, target, log);
  };
  const watcher = watch(folder, takeUp);
  // inotify may be short of watches; then a request waits for the next start.
  watcher.on('error', (error) => log('warn', 'replay-unwatched', { why: error.message }));
  takeUp();
  while (!signal.aborted) await timer.wait(3_600_000, signal);
  watcher.close();
}

function take(stateDir: string, { name, replays, ring }: ReplayTarget, log: Log): void {
  const path = pathOf(stateDir, name);
  const text = readIfThere(path);
  if (text === undefined || replays.every((replay) => replay.isOf(text))) return;
  const range = parseRange(text);
  if (range === undefined) {
    log('warn', 'replay-refused', { device: name, why: `expected {"from":N,"to":M}, got ${text.slice(0, 80)}` });
    rmSync(path, { force: true });
    return;
  }
  log('info', 'replay', { device: name, ...range });
  let left = replays.length;
  for (const replay of replays) {
    replay.start(text, range, (unanswered) => {
      left -= 1;
      log(unanswered === 0 ? 'info' : 'warn', 'replayed', { device: name, ...range, unanswered });
      if (left > 0) return;
      // Another request may have come meanwhile.
      if (readIfThere(path) === text) rmSync(path, { force: true });
    });
  }
  ring();
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new OperatingError('state-unavailable', `${path}: ${describeError(error)}`, { retry: 'never', cause: error });
  }
}

function parseRange(text: string): ReplayRange | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof parsed !== 'object' || parsed === null || !('from' in parsed) || !('to' in parsed)) return undefined;
  const { from, to } = parsed;
  const isSequence = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= sequenceMax;
  return isSequence(from) && isSequence(to) ? { from, to } : undefined;
}
