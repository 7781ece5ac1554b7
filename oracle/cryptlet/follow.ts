/** The loop that keeps the attested candidates up to date, beside the oracle's own loops, for `GET /api/v1/status`. */
import type { Clock } from '../clock.ts';
import type { Log } from '../log-line.ts';
import { OperatingError, describeError } from '../operating-error.ts';
import { opensslCrypto } from '../openssl-crypto.ts';
import type { Store } from '../store.ts';
import { Candidates, type Candidate } from './candidates.ts';
import { openCryptletHost } from './host.ts';
import { readInstalled } from './installed.ts';

export type FollowDeps = { readonly store: Store; readonly pace: Clock; readonly log: Log };

export type Following = {
  readonly list: () => Candidate[];
  /** Until the signal is given. A fault of a thread is logged, and the run is made again; what it throws is a bug. */
  readonly run: (signal: AbortSignal) => Promise<void>;
};

/** One that loops, and one beside it. */
const workers = 2;

/** A folder that is not there is one without cryptlets. Throws OperatingError 'config-invalid' for a bad package. */
export async function followCandidates(deps: FollowDeps, folder: string, pollMs: number): Promise<Following> {
  const installed = readInstalled(folder);
  if (installed.size === 0) return { list: () => [], run: () => Promise.resolve() };
  const host = await openCryptletHost({ workers });
  const candidates = new Candidates({ ...deps, host, installed, crypto: opensslCrypto() });
  return {
    list: () => candidates.list(),
    async run(signal) {
      const close = (): void => void host.close();
      signal.addEventListener('abort', close);
      while (!signal.aborted) {
        try {
          await candidates.run();
        } catch (error) {
          if (!(error instanceof OperatingError) || error.retry !== 'later') throw error;
          // Closing the host ends the runs under way like this, too.
          deps.log('warn', 'cryptlet-fault', { error: describeError(error) });
        }
        await deps.pace.wait(pollMs, signal);
      }
      await host.close();
    },
  };
}
