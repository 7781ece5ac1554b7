/**
 * The process that the campaigns kill and hurt: core-life.ts with its parent at the other end of a pipe. Loads, says
 * `ready`, and touches nothing before `go`, so that the next one can be made ready while this one runs.
 */
import type { AgentConfig } from '@coldproof/agent/config';
import { asError, OperatingError } from '@coldproof/agent/operating-error';
import { startCore, type CoreLife, type Tells } from './core-life.ts';

export type Told =
  | { readonly event: 'go'; readonly config: AgentConfig; readonly passphrase: string }
  | { readonly event: 'reading'; readonly timeSec: number }
  | { readonly event: 'receipt'; readonly topic: string; readonly bytes: Uint8Array };

const tell = (message: Tells) => process.send!(message);

/** As the agent's main: an operating fault is told, all else is a bug. */
function fail(error: unknown): void {
  if (!(error instanceof OperatingError)) throw asError(error);
  const { code, message } = error;
  process.send!({ event: 'failed', code, message } satisfies Tells, () => process.exit(1));
}

function start({ config, passphrase }: Extract<Told, { event: 'go' }>): CoreLife | undefined {
  try {
    return startCore(config, passphrase, { tell, fail });
  } catch (error) {
    fail(error);
    return undefined;
  }
}

let life: CoreLife | undefined;
process.on('message', (message) => {
  // Only the campaigns send here.
  const told = message as Told;
  if (told.event === 'go') life = start(told);
  else if (told.event === 'receipt') life?.receipt(told.topic, told.bytes);
  else life?.reading(told.timeSec);
});
// Where strace is in between, a kill would hit that.
process.on('disconnect', () => process.exit(0));
tell({ event: 'ready' });
