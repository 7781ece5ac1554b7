/** Stage 5 for whatever has batches to deliver: a device, one of its former keys, a sensor that signs by itself. */
import { assert, type Receipt } from '@coldproof/wire';
import type { AgentDeps } from './agent.ts';
import { monotonicClock } from './clock.ts';
import { runForward } from './forward.ts';
import type { OwnerPort } from './owner-desk.ts';
import type { Refuse } from './refusal.ts';
import type { Replay } from './replay.ts';
import type { UplinkState } from './uplink-state.ts';
import { agentVersion } from './version.ts';

export type Carried = {
  readonly name: string;
  readonly id: Uint8Array;
  readonly uplinks: readonly UplinkState[];
  /** By uplink; only a device's present key has them. */
  readonly replays?: ReadonlyMap<UplinkState, Replay>;
  readonly owner?: OwnerPort | undefined;
  /** Sequence of the next batch, and how many wait for their receipts. */
  readonly standing: () => { readonly nextSequence: number; readonly queued: number };
  /** After the journal has them; `released` is how many envelopes the duty has ended for. */
  readonly onReceipts: (receipts: readonly Receipt[], released: number) => void;
};

export type CarryDeps = Pick<AgentDeps, 'journal' | 'links' | 'random' | 'log' | 'clock'> & {
  readonly refuse: Refuse;
  /** Something of the status is not as it was. */
  readonly changed: () => void;
};

/** One run for each uplink, until `signal` is aborted. */
export async function carry(carried: Carried, deps: CarryDeps, signal: AbortSignal): Promise<void> {
  await Promise.all(carried.uplinks.map((uplink) => carryOn(carried, uplink, deps, signal)));
}

function carryOn(carried: Carried, uplink: UplinkState, deps: CarryDeps, signal: AbortSignal): Promise<void> {
  const { journal, links, random, log, clock, refuse, changed } = deps;
  const { name, order, compress, windowBatches, resendSec, reconnectSecMax } = uplink.config;
  const link = links.get(name);
  assert(link !== undefined, `uplink ${name} has a link`);
  return runForward(
    {
      ...{ journal: journal.receipts, link, random, log, refuse, timer: monotonicClock, bell: uplink.bell },
      ...{ standing: carried.standing, owner: carried.owner, replay: carried.replays?.get(uplink) },
      onConnected: (isConnected, why) => {
        uplink.change(isConnected, why, clock.nowMs(), monotonicClock.nowMs());
        changed();
      },
      onWindows: (windows) => uplink.watch(windows),
      onReceipts: (receipts, released) => {
        carried.onReceipts(receipts, released);
        changed();
      },
    },
    {
      name: carried.name,
      device: carried.id,
      uplink: name,
      logKeys: uplink.logKeys,
      ...{ order, compress, windowBatches, version: agentVersion },
      resendMs: resendSec * 1_000,
      reconnectMsMax: reconnectSecMax * 1_000,
    },
    signal,
  );
}
