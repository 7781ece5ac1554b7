/** A worker thread that is asked and answers, in the order of the questions. */
import { Worker } from 'node:worker_threads';
import { OperatingError } from './operating-error.ts';

/** A thread keeps nothing from one question to the next: V8's default of three times 16 MB would only be filled. */
const youngGenerationMb = 6;

export class Thread<Answer> {
  readonly #worker: Worker;
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  #failure: OperatingError | undefined;

  /** `what` names it in the error 'verify-failed' or 'sign-failed' that every question gets once it has died. */
  constructor(
    file: URL,
    { code, what, start }: { code: 'verify-failed' | 'sign-failed'; what: string; start?: unknown },
  ) {
    this.#worker = new Worker(file, {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    });
    this.#worker.on('message', (answer: Answer) => {
      this.#waiting.shift()?.resolve(answer);
      if (this.#waiting.length === 0) this.#worker.unref();
    });
    const fail = (message: string, cause: unknown) => {
      this.#failure ??= new OperatingError(code, message, { retry: 'never', cause });
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
    };
    this.#worker.on('error', (cause) => fail(`a ${what} thread threw`, cause));
    this.#worker.on('exit', (status) => fail(`a ${what} thread ended with code ${status}`, undefined));
    // An idle thread must not keep a process alive that has nothing else to do.
    this.#worker.unref();
  }

  /** The buffer is handed over: it is empty afterwards. */
  ask(request: ArrayBuffer): Promise<Answer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(request, [request]);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
