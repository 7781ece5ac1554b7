/**
 * Runs cryptlets in threads: one that loops or fills its heap holds up its own thread and nobody else's. Of one
 * cryptlet, one run is under way at a time; and one thread is kept for those whose last run was quick, so that slow
 * ones and new ones, however many, do not take them all.
 *
 *   run --> [queue] --first that may go--> thread --> sandbox --> verdict
 *                                             |
 *                               guard: no answer in guardMs --> the thread is replaced, and the run throws
 *
 * The guard is for a machine that hangs. A program cannot reach it: its steps are used up long before. So it gives no
 * verdict, and nothing is signed.
 */
import { Worker } from 'node:worker_threads';
import { accept, assert, bytesToHex, reject, type Verdict } from '@coldproof/wire';
import { OperatingError } from '../operating-error.ts';
import type { Cryptlet } from './cryptlet.ts';
import { formatInput, type CryptletInput } from './input.ts';
import { cryptletLimits, type CryptletLimits } from './limits.ts';
import { readOutput, type CryptletResult } from './output.ts';
import { compileRuntime } from './runtime.ts';
import type { RunAnswer, RunFailure, RunRequest } from './sandbox.ts';
import type { ThreadAnswer } from './thread.ts';
import type { WasmModule } from './web-assembly.ts';

export type CryptletReason =
  | RunFailure
  /** The device has said more in the window than a cryptlet can be given. */
  | 'input-too-large';

export type CryptletHost = {
  /**
   * The same cryptlet and input give the same verdict on each node. Throws OperatingError 'cryptlet-failed' when the
   * machine has failed, which says nothing about the cryptlet.
   */
  run(cryptlet: Cryptlet, input: CryptletInput): Promise<Verdict<CryptletResult, CryptletReason>>;
  close(): Promise<void>;
};

export type CryptletHostOptions = {
  readonly workers: number;
  /** Other limits than the runtime's make other verdicts than other nodes': for tests alone. */
  readonly limits?: CryptletLimits;
  readonly guardMs?: number;
};

/** A fourth of what a run may use. */
const quickStepsMax = 100_000_000;
/** Twenty times what a slow core needs for all the steps. */
const guardMsOfRuns = 60_000;
/** What callDepthMax calls need at most: two to three kilobytes a call before the engine has optimised them. */
const threadStackMb = 64;

type Job = {
  readonly digest: string;
  readonly request: RunRequest;
  readonly resolve: (answer: RunAnswer) => void;
  readonly reject: (error: Error) => void;
};

export async function openCryptletHost(options: CryptletHostOptions): Promise<CryptletHost> {
  const { workers, limits = cryptletLimits, guardMs = guardMsOfRuns } = options;
  assert(workers >= 1, 'at least one thread runs cryptlets');
  const pool = new Pool(await compileRuntime(), workers, guardMs);
  return {
    async run({ digest, manifest, program }, input) {
      const text = formatInput(input);
      if (text.length > limits.inputBytes) {
        return reject('input-too-large', `input: expected at most ${limits.inputBytes} bytes, got ${text.length}`);
      }
      const { outcome } = await pool.run(bytesToHex(digest), { program, input: text, limits });
      if ('failure' in outcome) return reject(outcome.failure, outcome.detail);
      const result = readOutput(manifest, outcome.output);
      return result.ok ? accept(result.value) : result;
    },
    close: () => pool.close(),
  };
}

class Pool {
  readonly #module: WasmModule;
  readonly #guardMs: number;
  readonly #idle: Worker[] = [];
  readonly #threads = new Set<Worker>();
  readonly #ready = new WeakSet<Worker>();
  /** By digest, what is under way; true for a quick one. */
  readonly #running = new Map<string, boolean>();
  readonly #quick = new Set<string>();
  readonly #queue: Job[] = [];
  #isClosed = false;

  constructor(module: WasmModule, workers: number, guardMs: number) {
    this.#module = module;
    this.#guardMs = guardMs;
    for (let i = 0; i < workers; i++) this.#idle.push(this.#start());
  }

  run(digest: string, request: RunRequest): Promise<RunAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(failed('the cryptlet host is closed'));
        return;
      }
      this.#queue.push({ digest, request, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { reject } of this.#queue.splice(0)) reject(failed('the cryptlet host is closed'));
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }

  #start(): Worker {
    const thread = new Worker(new URL('./thread.js', import.meta.url), {
      workerData: this.#module,
      resourceLimits: { stackSizeMb: threadStackMb },
    });
    this.#threads.add(thread);
    thread.once('message', () => this.#ready.add(thread));
    // An idle thread must not keep a process alive that has nothing else to do.
    thread.unref();
    return thread;
  }

  #next(): void {
    while (this.#idle.length > 0) {
      const at = this.#queue.findIndex(({ digest }) => this.#mayRun(digest));
      if (at < 0) return;
      const [job] = this.#queue.splice(at, 1);
      this.#give(job!, this.#idle.shift()!);
    }
  }

  #mayRun(digest: string): boolean {
    if (this.#running.has(digest)) return false;
    const slow = [...this.#running.values()].filter((isQuick) => !isQuick).length;
    return this.#quick.has(digest) || slow < Math.max(1, this.#threads.size - 1);
  }

  #give(job: Job, thread: Worker): void {
    this.#running.set(job.digest, this.#quick.has(job.digest));
    let guard: NodeJS.Timeout | undefined;
    const end = (next: Worker | undefined, settle: () => void): void => {
      clearTimeout(guard);
      thread.off('message', onAnswer).off('error', onError).off('exit', onExit);
      this.#running.delete(job.digest);
      if (next === undefined) this.#threads.delete(thread);
      else thread.unref();
      if (!this.#isClosed) this.#idle.push(next ?? this.#start());
      settle();
      this.#next();
    };
    const onAnswer = (answer: ThreadAnswer): void => {
      if ('isReady' in answer) {
        watch();
        return;
      }
      const isQuick = 'answer' in answer && answer.answer.stepsUsed <= quickStepsMax;
      if (isQuick) this.#quick.add(job.digest);
      else this.#quick.delete(job.digest);
      if ('answer' in answer) end(thread, () => job.resolve(answer.answer));
      else end(thread, () => job.reject(failed(`a run failed: ${answer.fault}`)));
    };
    const lost = (message: string, cause?: unknown): void => {
      this.#quick.delete(job.digest);
      void thread.terminate();
      end(undefined, () => job.reject(failed(message, cause)));
    };
    const onError = (cause: unknown): void => lost('a cryptlet thread threw', cause);
    const onExit = (code: number): void => lost(`a cryptlet thread ended with code ${code}`);
    const watch = (): void => {
      const late = `a cryptlet thread has not answered in ${this.#guardMs} ms`;
      guard = setTimeout(() => lost(late), this.#guardMs);
    };
    if (this.#ready.has(thread)) watch();
    thread.on('message', onAnswer).on('error', onError).on('exit', onExit);
    thread.ref();
    thread.postMessage(job.request);
  }
}

function failed(message: string, cause?: unknown): OperatingError {
  return new OperatingError('cryptlet-failed', message, { retry: 'later', cause });
}
