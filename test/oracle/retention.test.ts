/** Old envelopes go, and nothing that was promised about them: oracle/SCALE.md, Retention. */
import { digestBatch, encodeEnvelope, type Envelope } from '@coldproof/wire';
import { realClock } from '@coldproof/oracle/clock';
import type { Loggable } from '@coldproof/oracle/log';
import { silent } from '@coldproof/oracle/log-line';
import { Retention } from '@coldproof/oracle/retention';
import { cancelOrder, openDesk, startSec, type Desk } from './api-fixture.ts';
import { testOnEachEngine } from './stores.ts';

const days = 30;
const shipment = '/api/v1/shipments/7';

function sweepAt({ store }: Desk, sec: number): Promise<number> {
  const clock = { ...realClock, nowMs: () => sec * 1_000 };
  return new Retention({ store, clock, pace: realClock, log: silent }, days).sweep();
}

function loggable({ device }: Desk, { batch }: Envelope, sequence: number): Loggable {
  const digest = digestBatch(batch);
  return { device: device.device, sequence, previous: digest, digest, firstSec: 0, lastSec: 0, envelope: digest };
}

testOnEachEngine('bodies go by age, but for what an order, a proof or a device still needs', async (t, place) => {
  const desk = await openDesk(t, { place });
  const { store, log, envelopes, device } = desk;
  const stored = () => envelopes.map((_envelope, index) => store.log.envelope(index) !== undefined);
  const before = { checkpoint: log.checkpoint(), path: log.inclusionProof(0, 4) };
  const late = startSec + (days + 1) * 86_400;
  t.equal(await sweepAt(desk, late), 0, 'an order on its way is judged by all of them');
  cancelOrder(desk);
  t.equal(await sweepAt(desk, startSec + days * 86_400), 0, 'not a moment too early');
  const other = { ...loggable(desk, envelopes[1]!, 1), digest: new Uint8Array(32).fill(7) };
  log.append([other], 0);
  t.equal(await sweepAt(desk, late), 2);
  t.same(stored(), [false, true, false, true], 'the half of an equivocation and the newest stay');
  t.equal(store.log.equivocationProofs().length, 1);
  t.equal(await sweepAt(desk, late), 0);
  t.same({ checkpoint: log.checkpoint(), path: log.inclusionProof(0, 4) }, before, 'the log is what it was');
  const [repeat] = log.append([loggable(desk, envelopes[0]!, 0)], 0);
  t.match(repeat, { ok: true, value: { index: 0, isRepeat: true } }, 'a repeat has its receipt again');
  t.same(
    store.log.envelopes(device.device, 0, 9).map(({ sequence }) => sequence),
    [1, 3],
  );
});

testOnEachEngine('what is gone is said, and a part is never given for the whole', async (t, place) => {
  const desk = await openDesk(t, { place });
  cancelOrder(desk);
  t.equal(await sweepAt(desk, startSec + (days + 1) * 86_400), 3);
  const last = startSec + 60 + 3 * 900;
  const exports = ['export/csv', 'export/senml', 'bundle'].map((name) => `${shipment}/${name}`);
  for (const url of [`${shipment}/readings?channel=cargo-probe-1`, ...exports]) {
    const { code, json } = await desk.get(url);
    t.equal(code, 410, url);
    t.match(json['error'], /batches up to 2 are older than log\.retentionDays/);
    t.equal((await desk.get(`${url}${url.includes('?') ? '&' : '?'}from=${last}`)).code, 200, `${url}, the rest of it`);
  }
  t.match((await desk.get(`/api/v1/devices/${desk.id}`)).json, { batches: 4, provenance: 'gateway-signed' });
  t.match((await desk.get(shipment)).json, { state: 'Cancelled', fact: 'proved' });
  const [evidence] = desk.store.outbox.ofOrder('7');
  t.match(evidence?.evidence, /calldata/, 'evidence is stored whole, apart from the batches');
  t.same(desk.faults, []);
});

testOnEachEngine('an envelope as it came is what is stored', async (t, place) => {
  const { store, envelopes } = await openDesk(t, { place });
  t.same(store.log.envelope(2), Buffer.from(encodeEnvelope(envelopes[2]!)));
  t.equal(store.log.envelope(4), undefined);
});
