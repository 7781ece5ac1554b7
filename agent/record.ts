/** Stage 1 over what came in one turn, and its one fsync. Memory changes after the journal, or not at all. */
import { assert, channelName } from '@coldproof/wire';
import type { Device } from './device.ts';
import type { Journal, JournalEntry } from './journal.ts';
import type { Log } from './log-line.ts';
import type { Refuse } from './refusal.ts';
import { isClockTrusted, sample, type Reading, type SamplerState } from './sample.ts';
import type { SensorSample } from './sensors/sensor.ts';
import { markNames } from './status.ts';

export type RecordDeps = {
  readonly journal: Pick<Journal, 'record'>;
  readonly log: Log;
  readonly refuse: Refuse;
  /** By name. */
  readonly devices: ReadonlyMap<string, Device>;
};

/** Gives what was journaled. */
export function recordSamples(
  samples: readonly SensorSample[],
  now: { readonly sec: number; readonly isSynchronised: boolean },
  { journal, log, refuse, devices }: RecordDeps,
): ReadonlyMap<Device, readonly Reading[]> {
  const entries: JournalEntry[] = [];
  const recorded = new Map<Device, JournalEntry[]>();
  /** States with this turn's readings in them. */
  const states = new Map<Device, Map<number, SamplerState>>();
  for (const { device: name, channel, raw } of samples) {
    const device = devices.get(name);
    const sensor = device?.sensors.get(channel);
    assert(device !== undefined && sensor !== undefined, `${name} has channel ${channel}`);
    const fresh = states.get(device) ?? new Map<number, SamplerState>();
    states.set(device, fresh);
    const isTrusted = isClockTrusted(now.sec, device.newestSec());
    const sampled = sample(raw, sensor, fresh.get(channel) ?? device.states.get(channel), { sec: now.sec, isTrusted });
    if (!sampled.ok) {
      refuse(sampled.reason, `${name} ${channelName(channel)}: ${sampled.detail}`);
      continue;
    }
    const { state, gapSec } = sampled.value;
    fresh.set(channel, state);
    const reading = { ...sampled.value.reading, isClockTrusted: isTrusted && now.isSynchronised };
    if (gapSec !== undefined) {
      log('warn', 'sensor-gap', { device: name, channel: channelName(channel), time: reading.timeSec, gapSec });
    }
    const entry = { device: device.id, reading, state };
    entries.push(entry);
    const ofDevice = recorded.get(device) ?? [];
    recorded.set(device, ofDevice);
    ofDevice.push(entry);
  }
  if (entries.length > 0) journal.record(entries);
  for (const [device, taken] of recorded) {
    for (const entry of taken) {
      tellMarks(device, entry, log);
      device.states.set(entry.reading.channel, entry.state);
      device.add(entry.reading);
    }
    device.aliveSec = now.sec;
    device.sealBell.ring();
  }
  return new Map([...recorded].map(([device, taken]) => [device, taken.map(({ reading }) => reading)]));
}

function tellMarks({ config, states }: Device, { reading }: JournalEntry, log: Log): void {
  const before = states.get(reading.channel)?.marks ?? 0;
  if (before === reading.marks) return;
  const level = reading.marks === 0 ? 'info' : 'warn';
  const channel = channelName(reading.channel);
  const marked = markNames(reading.marks)[0] ?? 'none';
  log(level, 'sensor-marks', { device: config.name, channel, time: reading.timeSec, marks: marked });
}
