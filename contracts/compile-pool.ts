/**
 * solc on all processors. It is WebAssembly of one thread, and no contract needs another's code, so the sources are
 * dealt out in small jobs.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { BuildError, closureOf, type CodeSettings, type Compiled, type Sources } from './compiler.ts';

export type Job = {
  readonly names: readonly string[];
  readonly sources: Sources;
  readonly options: CodeSettings & { readonly isStrict: boolean };
};

export type Answer =
  | { readonly ok: true; readonly compiled: readonly Compiled[] }
  | { readonly ok: false; readonly message: string };

/** Sources in one job: each job parses what its sources import once more. */
const jobSourcesMax = 4;

/** Jobs of sources of the same settings, those that import most first, so that none of them is left for the end. */
export function jobsOf(
  names: readonly string[],
  sources: Sources,
  { settingsOf, isStrict }: { settingsOf: (source: string) => CodeSettings; isStrict: boolean },
): Job[] {
  const weight = (name: string): number => Object.keys(closureOf([name], sources)).length;
  const keyOf = (name: string): string => {
    const { runs, viaIR } = settingsOf(name);
    return `${runs} ${viaIR}`;
  };
  const jobs: Job[] = [];
  for (const key of new Set(names.map(keyOf))) {
    const alike = names.filter((name) => keyOf(name) === key).sort((a, b) => weight(b) - weight(a));
    const options = { ...settingsOf(alike[0]!), isStrict };
    for (let at = 0; at < alike.length; at += jobSourcesMax) {
      const dealt = alike.slice(at, at + jobSourcesMax);
      jobs.push({ names: dealt, sources: closureOf(dealt, sources), options });
    }
  }
  return jobs.sort((a, b) => Object.keys(b.sources).length - Object.keys(a.sources).length);
}

/** Throws the first BuildError of any job. */
export async function compileAll(jobs: readonly Job[]): Promise<Compiled[]> {
  const left = [...jobs];
  const compiled: Compiled[] = [];
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./compile-worker.js', import.meta.url));
    try {
      for (let job = left.shift(); job !== undefined; job = left.shift()) {
        worker.postMessage(job);
        const [answer] = (await once(worker, 'message')) as [Answer];
        if (!answer.ok) throw new BuildError(answer.message);
        compiled.push(...answer.compiled);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs.length, availableParallelism()) }, work));
  return compiled;
}
