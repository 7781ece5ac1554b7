/**
 * The process that the kill campaign kills most often: the agent's loops over its real journal and key file, from what
 * a sensor delivers to the receipt, with its parent in the place of sensor and broker. It leaves out what takes a
 * second to load and holds no state: MQTT, HTTP, serial lines, the parser of the configuration. Loads, says `ready`,
 * and touches nothing before `go`, so that the next one can be made ready while this one runs.
 */
import { join } from 'node:path';
import { cargoProbe } from '@coldproof/wire';
import { Arrivals } from '@coldproof/agent/arrivals';
import { carry } from '@coldproof/agent/carry';
import { realClock } from '@coldproof/agent/clock';
import type { AgentConfig } from '@coldproof/agent/config';
import { Device } from '@coldproof/agent/device';
import { Journal } from '@coldproof/agent/journal';
import { openKeyFile } from '@coldproof/agent/key-file';
import type { Link, LinkOptions } from '@coldproof/agent/link';
import { LogKeys } from '@coldproof/agent/log-key';
import { recordSamples } from '@coldproof/agent/record';
import { Room } from '@coldproof/agent/room';
import { runSealing } from '@coldproof/agent/sealing';
import { UplinkState } from '@coldproof/agent/uplink-state';

export type Told =
  | { readonly event: 'go'; readonly config: AgentConfig; readonly passphrase: string }
  | { readonly event: 'reading'; readonly timeSec: number }
  | { readonly event: 'receipt'; readonly topic: string; readonly bytes: Uint8Array };
export type Tells =
  | { readonly event: 'ready' | 'open' }
  | { readonly event: 'recorded'; readonly timeSec: number }
  | { readonly event: 'batch'; readonly topic: string; readonly bytes: Uint8Array };

const tell = (message: Tells) => process.send!(message);
const stopping = new AbortController();

/** By the pipe to the parent, which acknowledges nothing: only its receipts count. */
class PipeLink implements Link {
  session: LinkOptions | undefined;

  open(options: LinkOptions) {
    this.session = options;
    return Promise.resolve({
      inFlightMax: 64,
      publish: (topic: string, bytes: Uint8Array | string) => {
        if (typeof bytes !== 'string') tell({ event: 'batch', topic, bytes });
        return Promise.resolve();
      },
      subscribe: () => Promise.resolve(),
      close: () => Promise.resolve(),
      abandon: () => undefined,
    });
  }
}

function live({ devices, uplinks, journal: bounds, stateDir, ...config }: AgentConfig, passphrase: string) {
  const [deviceConfig, uplinkConfig] = [devices[0]!, uplinks[0]!];
  const { name } = deviceConfig;
  const journal = Journal.open(stateDir);
  const logKeys = new LogKeys(uplinkConfig.logPublicKeys);
  const uplink = new UplinkState(uplinkConfig, logKeys, realClock.nowMs(), 0);
  const keyStore = openKeyFile(join(stateDir, 'keys', `${name}.json`), passphrase);
  const terms = { receiptsMin: config.receiptsMin, lagBatchesMax: config.lagBatchesMax };
  const nowSec = Math.floor(realClock.nowMs() / 1_000);
  const device = new Device(deviceConfig, keyStore, journal, { uplinks: [uplink], terms, judge: undefined }, nowSec);
  const none = () => undefined;
  const room = new Room(bounds, { journal, devices: [device], log: none });
  const clock = { nowMs: () => realClock.nowMs(), isTrusted: true };
  const fail = (error: unknown): never => {
    throw error;
  };
  const refuse = (reason: string, detail: string): never => fail(new Error(`${reason}: ${detail}`));
  const known = new Map([[name, device]]);
  const arrivals = new Arrivals({
    isTaking: () => true,
    room,
    record: (samples) => {
      const now = { sec: Math.floor(clock.nowMs() / 1_000), isSynchronised: true };
      recordSamples(samples, now, { journal, log: none, refuse, devices: known });
    },
    refuse,
    fail,
  });
  runSealing(device, { journal, log: none, room, clock, changed: none }, stopping.signal).catch(fail);
  const link = new PipeLink();
  carry(
    {
      ...{ name, id: device.id, uplinks: device.uplinks, replays: device.replays },
      standing: () => ({ nextSequence: device.sealed, queued: device.queued }),
      onReceipts: (_receipts, released) => {
        device.queued -= released;
      },
    },
    {
      ...{ journal, random: Math.random, log: none, changed: none, clock: realClock },
      links: new Map([[uplinkConfig.name, link]]),
      refuse,
    },
    stopping.signal,
  ).catch(fail);
  return { arrivals, link, name };
}

let life: ReturnType<typeof live> | undefined;
process.on('message', (message) => {
  // Only kill-core-cycles.ts sends here.
  const told = message as Told;
  if (told.event === 'go') {
    life = live(told.config, told.passphrase);
    tell({ event: 'open' });
  } else if (told.event === 'receipt') {
    life?.link.session?.onMessage(told.topic, told.bytes);
  } else {
    const { timeSec } = told;
    const raw = { timeSec, value: (timeSec % 400) / 100, unit: undefined };
    void life?.arrivals
      .deliver([{ device: life.name, channel: cargoProbe(1), raw }])
      .then(() => tell({ event: 'recorded', timeSec }));
  }
});
tell({ event: 'ready' });
