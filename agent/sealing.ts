/**
 * Stages 2, 3 and 4 of one device, one batch at a time: what is due next -> sealed, signed, appended. First what could
 * not be kept, so that the hole is told before anything that was taken after it; then readings; then, when the device
 * has measured nothing for its time, what is left of it and a heartbeat.
 */
import { shortHex } from '@coldproof/wire';
import { monotonicClock } from './clock.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { Device } from './device.ts';
import type { Journal } from './journal.ts';
import type { UnstatedDrop } from './journal-bounds.ts';
import type { Log } from './log-line.ts';
import { privacyOf } from './privacy.ts';
import type { Room } from './room.ts';
import { isClockTrusted, type Reading } from './sample.ts';
import { cutReadings, sealDropped, sealHeartbeat, sealReadings, type Chain, type Sealed } from './seal.ts';
import { signWhenPossible } from './sign.ts';

export type SealingDeps = {
  readonly journal: Pick<Journal, 'head' | 'append' | 'bounds' | 'secrets'>;
  readonly room: Room;
  readonly clock: Pick<ClockWatch, 'nowMs' | 'isTrusted'>;
  readonly log: Log;
  /** Something of the status is not as it was. */
  readonly changed: () => void;
};

type Due = {
  readonly event: 'sealed' | 'sealed-statement' | 'sealed-heartbeat';
  readonly readings: readonly Reading[];
  readonly statement?: UnstatedDrop;
  seal(chain: Chain): Sealed;
};

/** Until `signal` is aborted. Throws what the journal throws, and `key-unusable`. */
export async function runSealing(device: Device, deps: SealingDeps, signal: AbortSignal): Promise<void> {
  const { journal, log, changed } = deps;
  const onKey = (why: string | undefined) => {
    device.keyFault = why;
    log(why === undefined ? 'info' : 'error', 'key', { device: device.config.name, why });
    changed();
  };
  while (!signal.aborted) {
    const due = nextDue(device, deps);
    if (due === undefined) {
      await device.sealBell.heard(signal);
      continue;
    }
    const { event, readings, statement } = due;
    const { sequence, previous } = journal.head(device.id);
    const sealed = due.seal({ device: device.id, sequence, previous });
    device.reserve(readings);
    const bytes = await signWhenPossible(sealed, device.keyStore, { timer: monotonicClock, onKey }, signal);
    if (bytes === undefined) return;
    const { digest } = sealed;
    journal.append({ device: device.id, sequence, digest, bytes, readings, lastSec: sealed.batch.lastSec, statement });
    // Before anything else can happen: once its receipts have come, the journal no longer has the batch.
    device.judge?.sealed(bytes);
    device.remove(readings);
    device.judge?.look(device.unsealed);
    device.sealed += 1;
    device.queued += 1;
    const { name } = device.config;
    log('info', event, { device: name, sequence, digest: shortHex(digest), readings: readings.length });
    device.ringUplinks();
    changed();
  }
}

function nextDue(device: Device, { journal, room, clock }: SealingDeps): Due | undefined {
  if (!room.canSeal()) return undefined;
  const statement = journal.bounds.unstated(device.id);
  if (statement !== undefined) {
    const seal = (chain: Chain) => sealDropped(statement, chain);
    return { event: 'sealed-statement', readings: [], statement, seal };
  }
  const sec = Math.floor(clock.nowMs() / 1_000);
  const isLast = device.isHeartbeatDue(sec);
  const readings = cutReadings(device.unsealed, device.config, { isLast });
  if (readings !== undefined) {
    const privacy = privacyOf(device.config, device.id, readings, journal);
    return { event: 'sealed', readings, seal: (chain) => sealReadings(readings, chain, privacy) };
  }
  if (!isLast || !room.canBeat()) return undefined;
  device.aliveSec = sec;
  const isTrusted = clock.isTrusted && isClockTrusted(sec, undefined);
  return { event: 'sealed-heartbeat', readings: [], seal: (chain) => sealHeartbeat({ sec, isTrusted }, chain) };
}
