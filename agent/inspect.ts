/** Commands that look and change nothing: `status`, `queue`, `verify`. */
import { deviceOf } from '@coldproof/wire';
import type { AgentConfig } from './config.ts';
import { Journal } from './journal.ts';
import { readPublicKey } from './key-file.ts';
import { formerKeys, keyPath } from './key-ring.ts';
import { LogKeys } from './log-key.ts';
import { describeError, OperatingError } from './operating-error.ts';
import { listQueue } from './queue.ts';
import { verifyJournal, type DeviceVerification } from './verify-journal.ts';

const answerMsMax = 5_000;

/** What the running agent's status page says. Throws `agent-away` when there is none. */
export async function fetchPage({ http }: AgentConfig, page: '/status' | '/queue'): Promise<unknown> {
  const host = http.host.includes(':') ? `[${http.host}]` : http.host;
  const url = `http://${host}:${http.port}${page}`;
  let answer: Response;
  try {
    answer = await fetch(url, { signal: AbortSignal.timeout(answerMsMax) });
  } catch (cause) {
    // fetch says "fetch failed"; the reason is one step further in.
    const why = describeError(cause instanceof Error && cause.cause !== undefined ? cause.cause : cause);
    throw new OperatingError('agent-away', `${url}: ${why}`, { retry: 'later', cause });
  }
  if (answer.ok) return answer.json();
  throw new OperatingError('agent-away', `${url}: expected an agent, got HTTP ${answer.status}`, { retry: 'later' });
}

/** Of the running agent, or, when none runs, of the journal that it left. */
export async function readQueue(config: AgentConfig): Promise<unknown> {
  try {
    return await fetchPage(config, '/queue');
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    return withJournal(config, (journal) => {
      const devices = keysOf(config, journal).map(({ name, publicKey }) => ({
        config: { name },
        id: deviceOf(publicKey),
      }));
      return listQueue(journal, devices);
    });
  }
}

/** Of an agent that does not run: it has the journal for itself. */
export function verifyState(config: AgentConfig): DeviceVerification[] {
  const keys = new LogKeys(config.uplinks.flatMap(({ logPublicKeys }) => logPublicKeys));
  return withJournal(config, (journal) =>
    keysOf(config, journal).map((device) => verifyJournal(journal, device, keys)),
  );
}

/** Former keys, the keys now, and sensors that sign by themselves; of these only what the journal has heard of. */
function keysOf(config: AgentConfig, journal: Journal): { name: string; publicKey: Uint8Array }[] {
  const own = config.devices.flatMap(({ name }) => [
    ...formerKeys(config, name).filter(({ id }) => journal.findHead(id) !== undefined),
    { name, publicKey: readPublicKey(keyPath(config, name)) },
  ]);
  return [
    ...own,
    ...config.sensorSigned.filter(({ publicKey }) => journal.findHead(deviceOf(publicKey)) !== undefined),
  ];
}

function withJournal<Result>({ stateDir }: AgentConfig, look: (journal: Journal) => Result): Result {
  const journal = Journal.open(stateDir);
  try {
    return look(journal);
  } finally {
    journal.close();
  }
}
