/** Six hours of the offline campaign: 108,000 readings, nothing lost, nothing twice, in order. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { offlineVoyage } from './offline-voyage.ts';

const hasMosquitto = spawnSync('mosquitto', ['-h']).error === undefined;
const skip = hasMosquitto || process.env['CI'] === 'true' ? false : 'mosquitto is not installed';

t.test('six hours without a link', { skip }, async (t) => {
  const voyage = await offlineVoyage(0.25);
  t.same(voyage.problems, []);
  t.equal(voyage.readings, 108_000);
  t.ok(voyage.received > 105_000, `${voyage.received} of them were sealed`);
});
