/** BUNDLE.md: an honest bundle is sound, and each field that is not what it was is refused with its own reason. */
import { ed25519 } from '@noble/curves/ed25519.js';
import t, { type Test } from 'tap';
import {
  bundlePreimage,
  bytesToHex,
  cargoProbe,
  digestBundle,
  formatBundle,
  formatJson,
  verifyBundle,
  type Bundle,
  type BundleReason,
  type Json,
} from '@coldproof/wire';
import { makeBundle } from '@coldproof/oracle/bundle';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { cancelOrder, openDesk, startSec, type Desk } from '../oracle/api-fixture.ts';

const everything = { fromSec: startSec, toSec: 0xffff_ffff };

async function bundleOf(desk: Desk, channels?: ReadonlySet<number>): Promise<Bundle> {
  const { sources, store, nowSec } = desk;
  const order = store.chain.order('7')!.order;
  const wish = { window: everything, nowSec, knownSize: 1, ...(channels === undefined ? {} : { channels }) };
  return (await makeBundle(sources, order, wish))!;
}

async function cancelledDesk(t: Test): Promise<Desk> {
  const desk = await openDesk(t);
  cancelOrder(desk);
  return desk;
}

/** The first check that says no. */
function refusal(text: string, crypto = opensslCrypto()): BundleReason | 'sound' {
  const { checks, isSound } = verifyBundle(text, crypto);
  const failed = checks.find(({ verdict }) => !verdict.ok)?.verdict;
  return isSound || failed === undefined || failed.ok ? 'sound' : failed.reason;
}

t.test('an honest bundle is sound, for both implementations of the primitives', async (t) => {
  const bundle = await bundleOf(await cancelledDesk(t));
  const text = formatBundle(bundle);
  for (const report of [verifyBundle(text), verifyBundle(text, opensslCrypto())]) {
    for (const { name, verdict } of report.checks) t.ok(verdict.ok, verdict.ok ? name : verdict.detail);
    t.ok(report.isSound);
  }
  t.equal(bundle.batches.length, 4);
  t.equal(bundle.withheldSeries, 0);
  t.match(bundle.evidence, [{ kind: 'excursion', channel: cargoProbe(1), peakCentiC: 905 }]);
});

t.test('one channel is shown, the others are counted and not told', async (t) => {
  const desk = await cancelledDesk(t);
  const bundle = await bundleOf(desk, new Set([cargoProbe(1)]));
  const text = formatBundle(bundle);
  t.equal(refusal(text), 'sound');
  t.equal(bundle.withheldSeries, 4 * 7);
  t.same(
    bundle.batches.map(({ series }) => series.length),
    [1, 1, 1, 1],
  );
  t.equal(bundle.evidence.length, 1, 'its evidence needs no other channel');
  const other = await bundleOf(desk, new Set([1]));
  t.equal(refusal(formatBundle(other)), 'sound');
  t.same(other.evidence, [], 'evidence about a channel that is not shown is not in it');
});

t.test('who knows the log or the device says so, and another is refused', async (t) => {
  const bundle = await bundleOf(await cancelledDesk(t));
  const text = formatBundle(bundle);
  const { publicKey } = bundle.log;
  t.ok(verifyBundle(text, opensslCrypto(), { logPublicKey: publicKey, device: bundle.order.device }).isSound);
  t.notOk(verifyBundle(text, opensslCrypto(), { logPublicKey: 'ab'.repeat(32) }).isSound);
  t.notOk(verifyBundle(text, opensslCrypto(), { device: 'ab'.repeat(32) }).isSound);
});

/** Every leaf of the bundle by its path, list indices as `*`; what a change of just that field is refused with. */
const reasons: Readonly<Record<string, BundleReason | readonly BundleReason[]>> = {
  format: 'bundle-malformed',
  version: 'bundle-malformed',
  createdAtSec: 'seal-invalid',
  'window.fromSec': 'seal-invalid',
  'window.toSec': 'seal-invalid',
  'chain.chainId': 'terms-digest-mismatch',
  'chain.shipments': 'seal-invalid',
  'chain.agreements': 'terms-digest-mismatch',
  'order.orderId': 'seal-invalid',
  'order.agreementId': 'seal-invalid',
  'order.state': 'seal-invalid',
  'order.finality': 'bundle-malformed',
  'order.device': 'device-key-mismatch',
  'order.truck': 'seal-invalid',
  'order.judgedFromSec': 'seal-invalid',
  'order.deliveredAtSec': 'seal-invalid',
  termsDigest: 'terms-digest-mismatch',
  'device.publicKey': 'device-key-mismatch',
  'device.owner': 'seal-invalid',
  'device.asset': 'seal-invalid',
  'device.validFromSec': 'seal-invalid',
  'device.revokedFromSec': 'seal-invalid',
  'device.calibrationDigest': 'seal-invalid',
  'device.calibrationUntilSec': 'seal-invalid',
  'log.origin': 'checkpoint-of-another-log',
  'log.publicKey': 'checkpoint-signature-invalid',
  'log.checkpoint': ['checkpoint-signature-invalid', 'checkpoint-of-another-log', 'checkpoint-malformed'],
  'log.heads.*.size': ['head-inconsistent', 'bundle-malformed'],
  'log.heads.*.root': 'head-inconsistent',
  'log.heads.*.path.*': 'head-inconsistent',
  'log.heads.*.anchor': 'seal-invalid',
  'batches.*.batch': ['bundle-malformed', 'batch-of-another-device', 'signature-invalid'],
  'batches.*.signature': ['signature-invalid', 'signature-not-low-s'],
  'batches.*.index': 'batch-not-in-log',
  'batches.*.path.*': 'batch-not-in-log',
  'batches.*.series.*.leafIndex': 'series-not-in-batch',
  'batches.*.series.*.path.*': 'series-not-in-batch',
  'batches.*.series.*.bytes': ['bundle-malformed', 'series-not-in-batch'],
  withheldSeries: 'withheld-misstated',
  'evidence.*.kind': 'bundle-malformed',
  'evidence.*.channel': 'ChannelNotInTerms',
  'evidence.*.runs.*.firstSequence': ['evidence-not-shown', 'SampleWithinLimits', 'RunMalformed'],
  'evidence.*.runs.*.lastSequence': ['RunMalformed', 'SampleWithinLimits', 'RunTooShort'],
  'evidence.*.runs.*.skip': ['RunTooShort', 'SampleWithinLimits', 'RunMalformed', 'excursion-misstated'],
  'evidence.*.runs.*.count': ['SampleWithinLimits', 'RunMalformed', 'RunTooShort', 'excursion-misstated'],
  'evidence.*.digest': 'evidence-digest-mismatch',
  'evidence.*.startedAtSec': 'excursion-misstated',
  'evidence.*.durationSec': 'excursion-misstated',
  'evidence.*.peakCentiC': 'excursion-misstated',
  'evidence.*.transaction.hash': 'seal-invalid',
  'evidence.*.transaction.blockNumber': 'seal-invalid',
  'evidence.*.transaction.blockHash': 'seal-invalid',
  seal: 'seal-invalid',
};

function reasonOf(path: string): readonly BundleReason[] {
  // Whatever the parties signed has one digest; a field out of its bounds is no such field.
  const found = path.startsWith('terms.') ? (['terms-digest-mismatch', 'bundle-malformed'] as const) : reasons[path];
  if (found === undefined) throw new Error(`${path}: the table of reasons does not have it`);
  return typeof found === 'string' ? [found] : found;
}

/** Each leaf with its path and a way to put another value there. */
function* leavesOf(value: Json, path: string[] = []): Generator<{ path: string[]; value: Json }> {
  if (typeof value !== 'object' || value === null) {
    yield { path, value };
    return;
  }
  for (const [key, each] of Object.entries(value)) yield* leavesOf(each, [...path, key]);
}

function withLeaf(value: Json, [key, ...rest]: readonly string[], leaf: Json): Json {
  if (key === undefined) return leaf;
  if (Array.isArray(value)) {
    return (value as Json[]).map((each, i) => (String(i) === key ? withLeaf(each, rest, leaf) : each));
  }
  const object = value as { readonly [key: string]: Json };
  return { ...object, [key]: withLeaf(object[key]!, rest, leaf) };
}

/** Something of the same kind that is not it. */
function changed(path: string, value: Json): Json {
  if (typeof value === 'number') return value === 0 ? 1 : value - 1;
  if (value === null)
    return path.endsWith('anchor') ? { contract: `0x${'12'.repeat(20)}`, transaction } : 4_000_000_000;
  const text = value as string;
  // The last digit of hex, the last letter of a word: the form stays right where it can.
  const last = text.at(-1)!;
  const other = /[0-8a-e]/.test(last) ? String.fromCharCode(last.charCodeAt(0) + 1) : '0';
  return text.startsWith('coldproof.example/test\n') ? text.replace('\n4\n', '\n5\n') : text.slice(0, -1) + other;
}

const transaction = { hash: `0x${'34'.repeat(32)}`, blockNumber: 1, blockHash: null };

t.test('every field, changed by itself, is refused with its own reason', async (t) => {
  // Two channels of eight: enough that each field is there, also a path.
  const bundle = await bundleOf(await cancelledDesk(t), new Set([cargoProbe(1), 1]));
  const seen = new Set<string>();
  let count = 0;
  for (const { path, value } of leavesOf(bundle)) {
    const name = path.map((part) => (/^\d+$/.test(part) ? '*' : part)).join('.');
    const text = formatJson(withLeaf(bundle, path, changed(name, value)));
    const reason = refusal(text);
    if (!reasonOf(name).includes(reason as BundleReason)) t.fail(`${path.join('.')}: ${reason}`);
    seen.add(name);
    count += 1;
  }
  t.comment(`${count} fields changed`);
  for (const name of Object.keys(reasons)) t.ok(seen.has(name), `${name} is in the bundle`);
});

t.test('what is left out, put in, moved or spelt otherwise is refused', async (t) => {
  const desk = await cancelledDesk(t);
  const bundle = await bundleOf(desk);
  const { batches } = bundle;
  const cases: [string, Bundle, BundleReason][] = [
    ['a batch left out', { ...bundle, batches: [batches[0]!, ...batches.slice(2)] }, 'batch-not-contiguous'],
    ['two batches exchanged', { ...bundle, batches: [batches[1]!, batches[0]!] }, 'batch-not-contiguous'],
    ['a batch twice', { ...bundle, batches: [batches[0]!, ...batches] }, 'batch-not-contiguous'],
    ['the last batch left out', { ...bundle, batches: batches.slice(0, 3) }, 'evidence-not-shown'],
    [
      'a series left out',
      { ...bundle, batches: batches.map((each) => ({ ...each, series: each.series.slice(1) })) },
      'withheld-misstated',
    ],
    [
      'a series twice',
      { ...bundle, batches: batches.map((each) => ({ ...each, series: [...each.series, each.series[0]!] })) },
      'series-repeated',
    ],
    ['an evidence left out', { ...bundle, evidence: [] }, 'seal-invalid'],
    [
      'evidence called cumulative',
      { ...bundle, evidence: [{ ...bundle.evidence[0]!, kind: 'cumulative' }] },
      'evidence-digest-mismatch',
    ],
    [
      'a smaller window',
      { ...bundle, window: { fromSec: startSec + 1_500, toSec: everything.toSec } },
      'batch-outside-window',
    ],
    [
      'a device revoked before',
      { ...bundle, device: { ...bundle.device, revokedFromSec: startSec } },
      'device-revoked',
    ],
    [
      'evidence from before the dispatch',
      { ...bundle, order: { ...bundle.order, judgedFromSec: startSec + 86_400 } },
      'SampleBeforeDispatch',
    ],
    ['a bundle from before the samples', { ...bundle, createdAtSec: startSec }, 'SampleInFuture'],
  ];
  for (const [name, forged, reason] of cases) t.equal(refusal(formatBundle(forged)), reason, name);
  const text = formatBundle(bundle);
  const spelt: [string, string, BundleReason][] = [
    ['a space', text.replace(':', ': '), 'bundle-not-canonical'],
    ['a newline at the end', `${text}\n`, 'bundle-not-canonical'],
    ['a key twice', text.replace('{', '{"batches":[],'), 'bundle-not-canonical'],
    ['1.0 for 1', text.replace('"version":1', '"version":1.0'), 'bundle-not-canonical'],
    ['keys in another order', JSON.stringify(bundle), 'bundle-not-canonical'],
    ['a key of its own', formatJson({ ...bundle, note: 'x' }), 'bundle-malformed'],
    ['__proto__', text.replace('{', '{"__proto__":{},'), 'bundle-malformed'],
    ['half of it', text.slice(0, text.length / 2), 'bundle-malformed'],
    ['nothing', '', 'bundle-malformed'],
    ['a list', '[]', 'bundle-malformed'],
    ['null', 'null', 'bundle-malformed'],
  ];
  for (const [name, forged, reason] of spelt) t.equal(refusal(forged), reason, name);
});

t.test('sealed anew by another key: the log that everybody knows did not say it', async (t) => {
  const bundle = await bundleOf(await cancelledDesk(t));
  const secret = new Uint8Array(32).fill(9);
  const forged = { ...bundle, order: { ...bundle.order, state: 'Settled' } };
  const seal = bytesToHex(ed25519.sign(bundlePreimage(digestBundle(forged)), secret));
  t.equal(refusal(formatBundle({ ...forged, seal })), 'seal-invalid');
  const log = { ...bundle.log, publicKey: bytesToHex(ed25519.getPublicKey(secret)) };
  t.equal(refusal(formatBundle({ ...forged, log, seal })), 'checkpoint-signature-invalid');
});
