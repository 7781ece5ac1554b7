/** A slice of the serial campaign: npm run campaign:serial has the rest. */
import t from 'tap';
import { seeded } from '../helpers/seed.ts';
import { fuzzModbus, fuzzPushLines } from './serial-fuzz.ts';

t.test('text and NMEA lines: every split, every flipped bit, no wrong value', (t) => {
  const { wrong, ...count } = fuzzPushLines(seeded(t, 183), 150);
  t.comment(JSON.stringify(count));
  t.same(wrong, []);
  t.ok(count.splits > 5_000 && count.flips > 40_000, 'the campaign is as large as it says');
  t.end();
});

t.test('Modbus answers: every split, every flipped bit, no wrong value', async (t) => {
  const { wrong, ...count } = await fuzzModbus(seeded(t, 485), 60);
  t.comment(JSON.stringify(count));
  t.same(wrong, []);
  t.equal(count.harmless, 0, 'a CRC-16 finds every single bit');
  t.ok(count.splits > 400 && count.flips > 3_000);
});
