/**
 * Each scenario as `npm start -- --once --json --scenario NAME` runs it: exit code, last line, and what must not
 * happen.
 */
import t from 'tap';
import { sailOnce } from '../helpers/voyage.ts';

// A voyage mostly waits.
t.jobs = 2;

for (const scenario of ['compressor-failure', 'door-left-open']) {
  t.test(
    `${scenario}: cancelled, replaced, in repair, proved by the device's signatures`,
    { buffered: true },
    async (t) => {
      const { code, status, story } = await sailOnce(['--scenario', scenario]);
      t.equal(code, 0, story);
      t.match(status, {
        scenario,
        orderState: 'Cancelled',
        replacementState: 'Placed',
        fact: 'proved',
        endedAsExpected: true,
      });
      t.match(status.transactionHash, /^0x[0-9a-f]{64}$/);
      t.ok((status.gasUsed ?? 0) > 21_000);
      t.ok((status.excursion?.durationSec ?? 0) >= 900, 'as long as the terms ask');
      t.ok((status.excursion?.peakCentiC ?? 0) >= 800, 'at or over the limit');
      t.equal(status.batches.rejected, 0);
      const { sealed, verified, receipts } = status.batches;
      t.ok(receipts > 0 && verified > 0, 'the log has batches, and the device knows');
      t.ok(sealed >= receipts, 'no receipt but for what was sealed');
    },
  );
}

for (const scenario of ['healthy', 'spike-14min', 'defrost', 'sensor-stuck', 'sensor-disconnected']) {
  t.test(`${scenario}: nothing is cancelled, the supplier is paid`, { buffered: true }, async (t) => {
    const { code, status, story } = await sailOnce(['--scenario', scenario]);
    t.equal(code, 0, story);
    t.match(status, { scenario, orderState: 'Settled', replacementOrderId: null, repairTicketId: null });
    t.match(status, { transactionHash: null, excursion: null, fact: null, endedAsExpected: true });
    t.equal(status.batches.rejected, 0);
    t.equal(status.batches.receipts, status.batches.sealed, 'every batch has its receipt');
    const faults = Object.keys(status.sensorFaults);
    t.same(faults, scenario.startsWith('sensor-') ? ['cargo-probe-1'] : [], 'a sensor fault is shown as such');
  });
}
