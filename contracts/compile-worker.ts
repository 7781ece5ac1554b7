/** One thread of the build: compiles what it is told, one job after the other. */
import { parentPort } from 'node:worker_threads';
import { BuildError, compile } from './compiler.ts';
import type { Answer, Job } from './compile-pool.ts';

parentPort!.on('message', ({ names, sources, options }: Job) => {
  let answer: Answer;
  try {
    answer = { ok: true, compiled: compile(names, sources, options) };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    answer = { ok: false, message: error.message };
  }
  parentPort!.postMessage(answer);
});
