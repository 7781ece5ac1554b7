/** A thread that runs cryptlets, one at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '@coldproof/wire';
import { runProgram, type RunAnswer, type RunRequest } from './sandbox.ts';
import type { WasmModule } from './web-assembly.ts';

/** Ready comes once, before all others: the time that a thread takes to start is no run's. */
export type ThreadAnswer = { readonly isReady: true } | { readonly answer: RunAnswer } | { readonly fault: string };

assert(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;
const module = workerData as WasmModule;

const run = async (request: RunRequest): Promise<ThreadAnswer> => {
  try {
    return { answer: await runProgram(module, request) };
  } catch (error) {
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
};

port.on('message', (request: RunRequest) => {
  void run(request).then((answer) => port.postMessage(answer));
});
port.postMessage({ isReady: true } satisfies ThreadAnswer);
