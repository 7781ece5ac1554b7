/**
 * The process of the offline campaign that is measured: the agent with nothing beside it, under a clock that its parent
 * sets. Speaks by IPC: `ready`, `clock` once it is set, `fed` when told that all is sent, `drained` when all batches
 * are settled.
 */
import { mustParse, startTruck, HandClock, type LogLine } from './fixture.ts';
import { offlineYaml, type Order, type Report } from './offline-voyage.ts';

const [stateDir = '', port = '0', logPublicKey = ''] = process.argv.slice(2);
const config = mustParse(offlineYaml(stateDir, Number(port), logPublicKey));
const clock = new HandClock();
const { agent, log } = await startTruck(config, clock);
const tell = (report: Report, done = () => undefined) => process.send!(report, done);
/** Of this process, since the last call. */
let cpuBefore = process.cpuUsage();
function cpuSec(): number {
  const { user, system } = process.cpuUsage(cpuBefore);
  cpuBefore = process.cpuUsage();
  return (user + system) / 1_000_000;
}
function sum(of: 'unsealed' | 'queued'): number {
  return agent.status().devices.reduce((total, device) => total + device[of], 0);
}

function drain(): void {
  const linkUp = (line: LogLine) => line.event === 'link-up';
  let drainedFromMs = 0;
  const watch = setInterval(() => {
    if (drainedFromMs === 0 && log.some(linkUp)) drainedFromMs = performance.now();
    log.length = 0;
    if (sum('queued') > 0) return;
    clearInterval(watch);
    const drainSec = (performance.now() - drainedFromMs) / 1_000;
    // The kernel's own highest mark, in KiB.
    const rssMiBMax = process.resourceUsage().maxRSS / 1_024;
    tell({ event: 'drained', drainSec, rssMiBMax, cpuSec: cpuSec() }, () => {
      void agent.stop().then(() => process.exit(0));
      return undefined;
    });
  }, 20);
}

process.on('message', (message) => {
  // Only offline-voyage.ts sends here, and only orders.
  const order = message as Order;
  // The log of a month is the supervisor's to keep.
  log.length = 0;
  if (order.event === 'clock') {
    clock.ms = order.nowSec * 1_000;
    tell({ event: 'clock' });
  } else {
    const { usedBytes: journalBytes } = agent.status().journal;
    const rssMiBMax = process.resourceUsage().maxRSS / 1_024;
    const [unsealed, queued] = [sum('unsealed'), sum('queued')];
    tell({ event: 'fed', unsealed, queued, journalBytes, rssMiBMax, cpuSec: cpuSec() });
    drain();
  }
});
cpuSec();
tell({ event: 'ready', brokerPort: agent.brokerPort ?? 0, rssMiBMax: process.resourceUsage().maxRSS / 1_024 });
