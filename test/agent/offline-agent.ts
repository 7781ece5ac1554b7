/**
 * The process of the offline campaign that is measured: the agent under a simulated clock, with its sensors beside it.
 * Speaks with its parent by IPC: `fed` when all readings are acknowledged, `drained` when all batches are settled.
 */
import { connectAsync } from 'mqtt';
import { mustParse, startTruck, HandClock, sensorPassword, voyageStartSec, type LogLine } from './fixture.ts';
import { devicesCount, offlineYaml, periodSec, sensorsPerDevice, type OfflineReport } from './offline-voyage.ts';

const [stateDir = '', port = '0', logPublicKey = '', ticks = '0'] = process.argv.slice(2);
const config = mustParse(offlineYaml(stateDir, Number(port), logPublicKey));
const clock = new HandClock();
let rssMax = 0;
const noteMemory = () => {
  rssMax = Math.max(rssMax, process.memoryUsage.rss());
};

const { agent, log } = await startTruck(config, clock);
const sensors = await connectAsync(`mqtt://127.0.0.1:${agent.brokerPort ?? 0}`, {
  username: 'sensors',
  password: sensorPassword,
  reconnectPeriod: 0,
});
const startedMs = performance.now();
for (let tick = 0; tick < Number(ticks); tick++) {
  clock.ms = (voyageStartSec + tick * periodSec) * 1_000;
  await Promise.all(
    Array.from({ length: devicesCount }, (_, device) => {
      const pack = Array.from({ length: sensorsPerDevice }, (_, i) => ({
        n: `ZONE-${device}/cargo-probe-${i + 1}`,
        v: 4 + ((tick + i) % 100) / 100,
      }));
      return sensors.publishAsync(`sensors/${device}`, JSON.stringify(pack), { qos: 1 });
    }),
  );
  // The log of a month is the supervisor's to keep.
  log.length = 0;
  if (tick % 500 === 0) noteMemory();
}
await sensors.endAsync();
noteMemory();
const feedSec = (performance.now() - startedMs) / 1_000;
const unsealed = agent.status().devices.reduce((sum, device) => sum + device.unsealed, 0);
const queued = agent.status().devices.reduce((sum, device) => sum + device.queued, 0);
process.send!({ event: 'fed', feedSec, unsealed, queued, journalBytes: agent.status().journal.usedBytes });

const linkUp = (line: LogLine) => line.event === 'link-up';
let drainedFromMs = 0;
const watch = setInterval(() => {
  noteMemory();
  if (drainedFromMs === 0 && log.some(linkUp)) drainedFromMs = performance.now();
  log.length = 0;
  if (agent.status().devices.some((device) => device.queued > 0)) return;
  clearInterval(watch);
  const drainSec = (performance.now() - drainedFromMs) / 1_000;
  const report: OfflineReport = { event: 'drained', drainSec, rssMax, cpu: process.cpuUsage() };
  process.send!(report, () => void agent.stop().then(() => process.exit(0)));
}, 20);
