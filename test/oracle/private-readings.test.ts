/** Private series at the oracle: there, never silent and never in order; opened by their parties and nobody else. */
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import t from 'tap';
import {
  bytesToHex,
  cargoProbe,
  channels,
  decodeBatch,
  decodePrivate,
  deriveHpkeKey,
  encodeEnvelope,
  formatBundle,
  hexToBytes,
  leafHash,
  openEnvelope,
  openPrivate,
  partyOf,
  verifyBundle,
  verifyEnvelope,
  verifyInclusion,
  type Bundle,
  type OpenEnvelope,
  type Privacy,
} from '@coldproof/wire';
import { dueRuns } from '@coldproof/oracle/cryptlet/due';
import { Live } from '@coldproof/oracle/live';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { regularSeries } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';
import { openDesk, quarterOf, startSec, warmQuarters, type Desk } from './api-fixture.ts';
import { cryptlet } from './cryptlet-fixture.ts';
import { dispatchedAtSec, order, run, UnsignedDevice } from './hostile-voyage.ts';

const buyer = deriveHpkeKey(new Uint8Array(32).fill(1));
const carrier = deriveHpkeKey(new Uint8Array(32).fill(2));
const stranger = deriveHpkeKey(new Uint8Array(32).fill(3));
const both = [channels.latitude, channels.longitude];
const privacyOf = (of: readonly number[], parties = [buyer.publicKey, carrier.publicKey]): Privacy => ({
  groups: [{ channels: of, parties }],
  secret: new Uint8Array(32).fill(0x5e),
});
const partyNames = [buyer, carrier].map(({ publicKey }) => bytesToHex(partyOf(publicKey))).sort();

type Proof = { batch: string; signature: string; leafIndex: number; path: string[]; bytes: string; channels: string[] };
type Entry = { sequence: number; fromSec: number; toSec: number; parties: string[]; proof: Proof | null };
type Page = { items: unknown[]; private: Entry[]; next: string | null };

const readings = '/api/v1/shipments/7/readings?channel=latitude';

t.test('readings: private, for whom, and what a party needs to open and check it by itself', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf(both) });
  const { items, private: entries, next } = (await desk.get(readings)).json as Page;
  t.same([items, entries.length, next], [[], 4, null]);
  for (const [i, { sequence, fromSec, parties, proof }] of entries.entries()) {
    t.same([sequence, fromSec, parties], [i, startSec + 60 + i * 900, partyNames]);
    const { batch: encoded, signature, leafIndex, path, bytes, channels: names } = proof!;
    t.same(names, ['latitude', 'longitude']);
    const signed = { batch: hexToBytes(encoded), signature: hexToBytes(signature) };
    t.ok(verifyEnvelope(signed, desk.device.publicKey).ok, "the device's own signature");
    const batch = decodeBatch(signed.batch);
    const leaf = decodePrivate(hexToBytes(bytes));
    if (!batch.ok || !leaf.ok) throw new Error('no batch, or no leaf');
    const { seriesCount, root } = batch.value;
    t.ok(verifyInclusion(leafHash(hexToBytes(bytes)), leafIndex, seriesCount, path.map(hexToBytes), root));
    const opened = openPrivate(leaf.value, batch.value, carrier.secretKey);
    t.same(opened.ok && opened.value.map(({ channel, samples }) => [channel, samples.length, samples[0]!.value]), [
      [channels.latitude, 15, 52_100_000],
      [channels.longitude, 15, 4_300_000],
    ]);
    t.match(openPrivate(leaf.value, batch.value, stranger.secretKey), { reason: 'private-of-other-parties' });
  }
  const probe = (await desk.get(readings.replace('latitude', 'cargo-probe-1'))).json as Page;
  t.same([probe.items.length, probe.private], [60, []], 'what is not private is as ever');
});

t.test('a token for one channel of a leaf is told that it is private, and gets no key to the other', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf(both) });
  const one = desk.makeToken({ channels: [channels.latitude] }).token;
  const two = desk.makeToken({ channels: both }).token;
  const none = desk.makeToken({ channels: [cargoProbe(1)] }).token;
  const entriesFor = async (token: string) => ((await desk.get(readings, token)).json as Page).private;
  t.match(await entriesFor(one), [{ parties: partyNames, proof: null }]);
  t.match(await entriesFor(two), [{ proof: { leafIndex: 6 } }]);
  t.equal((await desk.get(readings, none)).code, 404);
  const bundleFor = async (token: string) =>
    JSON.parse((await desk.get('/api/v1/shipments/7/bundle', token)).text) as Bundle;
  t.same((await bundleFor(one)).batches[0]!.series, [], 'nor in the bundle');
  t.equal((await bundleFor(two)).batches[0]!.series.length, 1);
});

t.test('pages end, and go on without telling a batch twice', async (t) => {
  const quarters = Array.from({ length: 103 }, () => [500]);
  const desk = await openDesk(t, { quarters, privacy: privacyOf(both, [buyer.publicKey]) });
  const first = (await desk.get(readings)).json as Page;
  const second = (await desk.get(`${readings}&cursor=${first.next}`)).json as Page;
  t.equal(first.private.length, 100);
  t.same(
    [...first.private, ...second.private].map(({ sequence }) => sequence),
    quarters.map((_, i) => i),
  );
  t.equal(second.next, null);
});

t.test('chart and exports leave it out, and say so', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf(both) });
  const get = async (path: string) => desk.get(`/api/v1/shipments/7/${path}`);
  const chart = (await get('chart?channel=latitude')).json;
  t.same(chart['buckets'], []);
  t.same(chart['private'], [{ fromSec: startSec + 60, toSec: startSec + 60 + 3 * 900 + 14 * 60 }]);
  t.same((await get('chart?channel=cargo-probe-1')).json['private'], []);
  const rows = (await get('export/csv')).text.split('\r\n').filter((row) => row.includes(',latitude,'));
  t.equal(rows.length, 4, 'a row for each batch');
  for (const row of rows) t.match(row, /,latitude,2026-01-01T[^,]+,,lat,private,gateway-signed$/);
  const senml = JSON.parse((await get('export/senml')).text) as { n: string }[];
  t.equal(senml.filter(({ n }) => n === 'longitude/private').length, 4);
  t.notOk(senml.some(({ n }) => n === 'longitude'));
  const dcsa = await get('export/dcsa');
  t.equal(dcsa.headers['coldproof-private'], 'latitude, longitude');
  t.notMatch(dcsa.text, /geoLocation/);
  const only = await get('export/csv?channels=cargo-probe-1');
  t.notMatch(only.text, /private/, 'who did not ask for it is not told');
});

t.test('EPCIS says that it was measured; the document is valid for GS1', { skip: skipWithoutVectors }, async (t) => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const validate = ajv.compile(vectorJson('epcis/EPCIS-JSON-Schema.json') as object);
  const desk = await openDesk(t, { privacy: privacyOf([cargoProbe(1)]) });
  const { text } = await desk.get('/api/v1/shipments/7/export/epcis');
  t.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors));
  t.match(text, /urn:coldproof:channel:cargo-probe-1".*"uriValue":"urn:coldproof:private"/);
  t.notMatch(text, /ALARM_CONDITION/);
});

async function bundleOf(desk: Desk, query = ''): Promise<string> {
  return (await desk.get(`/api/v1/shipments/7/bundle${query}`)).text;
}

function checkOf(text: string, partySecret?: Uint8Array) {
  const report = verifyBundle(text, opensslCrypto(), partySecret === undefined ? {} : { partySecret });
  const verdict = report.checks.find(({ name }) => name === 'private')!.verdict;
  return { ...report, said: verdict.ok ? verdict.value : verdict.reason };
}

t.test('the bundle carries it: private without a key, opened and checked with one', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf(both) });
  const text = await bundleOf(desk);
  const shut = checkOf(text);
  t.ok(shut.isSound);
  t.equal(shut.said, `latitude, longitude in 4 leaves, for ${partyNames.join(', ')}: no party key, so not opened`);
  const open = checkOf(text, buyer.secretKey);
  t.ok(open.isSound);
  t.match(open.said, /: 4 opened with it, 120 samples$/);
  t.same(
    open.opened.map(({ sequence, series }) => [sequence, series.map(({ channel }) => channel)]),
    [0, 1, 2, 3].map((sequence) => [sequence, both]),
  );
  t.match(checkOf(text, stranger.secretKey), { isSound: true, said: /: 0 opened with it, 0 samples$/ });
  t.match(checkOf(await bundleOf(desk, '?channels=door'), buyer.secretKey), { isSound: true, said: 'none' });
  const half = JSON.parse(await bundleOf(desk, '?channels=latitude')) as Bundle;
  t.equal(half.withheldSeries, 4 * 7, 'half of what a key opens is not shown');
  const bundle = JSON.parse(text) as Bundle;
  const [batch, ...rest] = bundle.batches;
  const series = batch!.series.map((each) =>
    each.bytes.startsWith('84') ? { ...each, bytes: bundle.batches[1]!.series.at(-1)!.bytes } : each,
  );
  const moved = formatBundle({ ...bundle, batches: [{ ...batch!, series }, ...rest] });
  const refused = checkOf(moved, buyer.secretKey);
  t.equal(refused.said, 'private-wrap-invalid', 'the leaf of the next batch');
  t.match(
    refused.checks.find(({ name }) => name === 'series'),
    { verdict: { reason: 'series-not-in-batch' } },
  );
});

/** A quarter of an hour of the channel of the terms, private or not. */
function open(device: UnsignedDevice, atSec: number, values: readonly number[], isPrivate: boolean): OpenEnvelope {
  const series = [regularSeries(terms.channel, atSec, values), regularSeries(6, atSec, [0])];
  const opened = openEnvelope(device.seal(series, 0, 0, isPrivate ? privacyOf([terms.channel]) : undefined));
  if (!opened.ok) throw new Error(opened.detail);
  return opened.value;
}

t.test('rules: a private channel of the terms is not silent, not in order, and no excursion', (t) => {
  const device = new UnsignedDevice(3);
  const at = (i: number) => dispatchedAtSec + 60 + i * 900;
  const warm = quarterOf(900);
  const { channel } = terms;
  const opened = { rule: 'private', channel, openedAtSec: at(0), detail: {} };
  t.same(run([0, 1, 2].map((i) => open(device, at(i), warm, true))), [opened], 'said once, while it goes on');
  const again = new UnsignedDevice(3);
  const batches = [0, 1, 2, 3].map((i) => open(again, at(i), i < 2 ? warm : quarterOf(500), i < 2));
  t.same(run(batches), [opened, { ...opened, closedAtSec: at(2) }]);
  const broken = new UnsignedDevice(3);
  const run15 = [0, 1, 2].map((i) => open(broken, at(i), [...warm.slice(0, 10)], i === 1));
  t.notOk(
    run(run15).some(({ rule }) => rule === 'excursion'),
    'a run does not go on through what nobody can show to a contract',
  );
  const silent = new UnsignedDevice(3);
  const after = [open(silent, at(0), warm, true), open(silent, at(3), quarterOf(500), false)];
  t.match(
    run(after).filter(({ rule }) => rule === 'gap'),
    [{ openedAtSec: at(0) + 14 * 60, closedAtSec: at(3) }],
    'silence before and after it is silence',
  );
  t.end();
});

t.test('a finding of the order says so', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf([cargoProbe(1)]), quarters: warmQuarters });
  const { items } = (await desk.get('/api/v1/shipments/7/findings')).json as { items: object[] };
  t.match(items, [{ kind: 'private', channel: 'cargo-probe-1', endedAt: null }]);
  t.equal(items.length, 1, 'no excursion, no gap');
});

t.test('a cryptlet that reads a private channel attests nothing; the others do', (t) => {
  const device = new UnsignedDevice(5);
  const at = (i: number) => dispatchedAtSec + 60 + i * 900;
  const program = 'function evaluate() { return { report: [1], breach: true }; }';
  const installed = cryptlet(program);
  const digest = bytesToHex(installed.digest);
  const of = { ...order, device: 'ab'.repeat(32), cryptlets: [digest] };
  const dueOn = (...batches: readonly OpenEnvelope[]) => dueRuns(of, batches, new Map([[digest, installed]])).length;
  t.equal(dueOn(open(device, at(0), quarterOf(500), false)), 1);
  t.equal(dueOn(open(device, at(1), quarterOf(500), true)), 0);
  t.end();
});

t.test('a live batch shows that the channel is there', async (t) => {
  const desk = await openDesk(t, { privacy: privacyOf(both) });
  const live = new Live({
    devices: () => ({ publicKey: desk.device.publicKey }),
    nextSequence: () => 0,
    crypto: opensslCrypto(),
    nowSec: () => desk.nowSec,
    realMs: () => 0,
  });
  const taken = live.take(desk.device.device, encodeEnvelope(desk.envelopes[0]!));
  t.match(taken, { ok: true, value: { channels: { length: 6 }, privateChannels: ['latitude', 'longitude'] } });
});
