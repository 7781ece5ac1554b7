/**
 * Whether a bundle is true, with nothing but the bundle: BUNDLE.md. Pure, so that the same code runs in the command
 * and in a visitor's browser. Every check is made and told, also after one that failed; a form that cannot be read
 * ends it.
 */
import { bytesEqual, bytesToHex, hexToBytes } from './bytes.ts';
import { parseBundle, digestBundle } from './bundle-format.ts';
import type { Bundle, BundleFormReason, OpenBundle, OpenBundleBatch, UnsealedBundle } from './bundle-format.ts';
import { verifyCheckpoint, type Checkpoint, type CheckpointReason } from './checkpoint.ts';
import { deviceOf, referenceCrypto, verifyEd25519, type Crypto } from './crypto.ts';
import { digestCumulative, verifyCumulative, type CumulativeReason } from './cumulative.ts';
import { verifyEnvelope, type EnvelopeReason } from './envelope.ts';
import { digestEvidence, verifyEvidence, type Evidence, type EvidenceBatch } from './evidence.ts';
import { channelsOf, isPrivate } from './leaf.ts';
import { leafHash, rootFromInclusion, verifyConsistency, verifyInclusion } from './merkle.ts';
import { openBundlePrivates, type OpenedPrivate } from './bundle-private.ts';
import { bundlePreimage } from './preimage.ts';
import type { PrivateReason } from './private-series.ts';
import { packSamples } from './series.ts';
import { digestTerms } from './terms.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type BundleReason =
  | BundleFormReason
  /** The terms are not those that the digest is of. */
  | 'terms-digest-mismatch'
  /** The key is not that of the device that the order was dispatched with. */
  | 'device-key-mismatch'
  | 'batch-of-another-device'
  | Extract<EnvelopeReason, 'signature-not-low-s' | 'signature-invalid'>
  /** Signed with a key that was revoked by then. */
  | 'device-revoked'
  /** The batch has no moment in common with the window. */
  | 'batch-outside-window'
  /** Sequence or digest does not follow the batch before: one is missing, or not in its place. */
  | 'batch-not-contiguous'
  /** The series and its path do not lead to the batch's root. */
  | 'series-not-in-batch'
  /** A channel, or a leaf, twice in one batch. */
  | 'series-repeated'
  /** Not as many series are left out as the bundle says. */
  | 'withheld-misstated'
  /** What a private series has for the party whose key was given. */
  | PrivateReason
  | CheckpointReason
  /** The batch and its path do not lead to the checkpoint's root. */
  | 'batch-not-in-log'
  /** The checkpoint's log is not the earlier head's log, grown. */
  | 'head-inconsistent'
  /** A run names a batch, or a channel of it, that the bundle does not show. */
  | 'evidence-not-shown'
  | CumulativeReason
  | 'evidence-digest-mismatch'
  /** Start, duration or peak are not those of the samples. */
  | 'excursion-misstated'
  /** The log key has not signed this text. */
  | 'seal-invalid';

/** In this order. All but the last prove; the seal only says who states the rest. */
export type BundleCheckName =
  | 'form'
  | 'terms'
  | 'device'
  | 'batches'
  | 'series'
  | 'private'
  | 'log'
  | 'inclusion'
  | 'heads'
  | 'evidence'
  | 'seal';

/** A passed check says what it found, for people. */
export type BundleCheck = { readonly name: BundleCheckName; readonly verdict: Verdict<string, BundleReason> };

export type BundleReport = {
  readonly isSound: boolean;
  readonly checks: readonly BundleCheck[];
  /** Absent when its form is wrong. */
  readonly open?: OpenBundle;
  /** What the party's key has opened, batch by batch. */
  readonly opened: readonly OpenedPrivate[];
};

type Checked = Verdict<string, BundleReason>;

/** What a reader knows already, from a source of its own. */
export type BundleTrust = {
  /** Ed25519, hex: the log is this one. */
  readonly logPublicKey?: string;
  /** Hex: the device is this one. */
  readonly device?: string;
  /** X25519: opens the private series that are for its party. */
  readonly partySecret?: Uint8Array;
};

export function verifyBundle(text: string, crypto: Crypto = referenceCrypto, trust: BundleTrust = {}): BundleReport {
  const parsed = parseBundle(text, crypto);
  if (!parsed.ok) return { isSound: false, checks: [{ name: 'form', verdict: parsed }], opened: [] };
  const open = parsed.value;
  const { bundle } = open;
  const log = verifyLog(bundle, trust);
  const privates = openBundlePrivates(open, trust.partySecret);
  const verdicts: readonly [BundleCheckName, Checked][] = [
    ['form', accept(`version 1, order ${bundle.order.orderId}, ${open.batches.length} batches`)],
    ['terms', verifyTerms(bundle)],
    ['device', verifyDevice(bundle, trust)],
    ['batches', verifyBatches(open, crypto)],
    ['series', verifySeries(open, crypto)],
    ['private', privates.verdict],
    ['log', log.ok ? accept(`${log.value.origin}, ${log.value.size} leaves, root ${hex(log.value.root)}`) : log],
    ['inclusion', log.ok ? verifyLeaves(open, log.value, crypto) : log],
    ['heads', log.ok ? verifyHeads(bundle, log.value, crypto) : log],
    ['evidence', verifyAllEvidence(open, crypto)],
    ['seal', verifySeal(bundle, crypto)],
  ];
  const checks = verdicts.map(([name, verdict]) => ({ name, verdict }));
  return { isSound: checks.every(({ verdict }) => verdict.ok), checks, open, opened: privates.opened };
}

function verifyTerms({ terms, termsDigest, chain }: Bundle): Checked {
  const digest = hex(digestTerms(terms, chain));
  if (digest === termsDigest) return accept(`${terms.limits.length} limits, digest ${digest}: compare with your own`);
  return reject('terms-digest-mismatch', `expected ${termsDigest}, got ${digest}`);
}

function verifyDevice({ device: { publicKey }, order }: Bundle, trust: BundleTrust): Checked {
  const device = hex(deviceOf(hexToBytes(publicKey)));
  const expected = trust.device ?? order.device;
  if (device === expected && device === order.device) return accept(`${device}, the digest of its key`);
  return reject('device-key-mismatch', `expected ${expected}, got ${device}`);
}

function verifyBatches({ bundle, batches }: OpenBundle, crypto: Crypto): Checked {
  const { window, order, device } = bundle;
  const publicKey = hexToBytes(device.publicKey);
  const { revokedFromSec } = device;
  let before: OpenBundleBatch | undefined;
  for (const each of batches) {
    const { batch, encoded, signature } = each;
    const at = `batch ${batch.sequence}`;
    if (hex(batch.device) !== order.device) return reject('batch-of-another-device', `${at}: ${hex(batch.device)}`);
    const signed = verifyEnvelope({ batch: encoded, signature }, publicKey, crypto);
    if (!signed.ok) return reject(signed.reason, `${at}: ${signed.detail}`);
    if (revokedFromSec !== null && batch.lastSec >= revokedFromSec) {
      return reject('device-revoked', `${at}: last ${batch.lastSec}, revoked from ${revokedFromSec}`);
    }
    if (batch.lastSec < window.fromSec || batch.firstSec > window.toSec) {
      return reject('batch-outside-window', `${at}: ${batch.firstSec} to ${batch.lastSec}`);
    }
    const follows = before === undefined || batch.sequence === before.batch.sequence + 1;
    if (before !== undefined && !(follows && bytesEqual(batch.previous, before.digest))) {
      return reject('batch-not-contiguous', `${at} does not follow batch ${before.batch.sequence}`);
    }
    before = each;
  }
  const [first] = batches;
  if (first === undefined || before === undefined) return accept('none in the window');
  return accept(`${first.batch.sequence} to ${before.batch.sequence} signed by the device, none missing between them`);
}

function verifySeries({ bundle, batches }: OpenBundle, crypto: Crypto): Checked {
  let withheld = 0;
  let shown = 0;
  for (const { batch, series } of batches) {
    const at = `batch ${batch.sequence}`;
    for (const { leafIndex, path, bytes } of series) {
      const root = rootFromInclusion(leafHash(bytes, crypto.sha256), leafIndex, batch.seriesCount, path, crypto.sha256);
      if (root === undefined || !bytesEqual(root, batch.root)) {
        return reject('series-not-in-batch', `${at}: leaf ${leafIndex} does not lead to its root`);
      }
    }
    const channels = series.flatMap(({ series: leaf }) => channelsOf(leaf));
    if (new Set(channels).size !== channels.length) return reject('series-repeated', `${at}: a channel twice`);
    if (new Set(series.map(({ leafIndex }) => leafIndex)).size !== series.length) {
      return reject('series-repeated', `${at}: a leaf twice`);
    }
    shown += series.length;
    withheld += batch.seriesCount - series.length;
  }
  if (withheld === bundle.withheldSeries) return accept(`${shown} shown, ${withheld} withheld`);
  return reject('withheld-misstated', `expected ${withheld}, got ${bundle.withheldSeries}`);
}

function verifyLog({ log }: Bundle, trust: BundleTrust): Verdict<Checkpoint, CheckpointReason> {
  if (trust.logPublicKey !== undefined && trust.logPublicKey !== log.publicKey) {
    return reject('checkpoint-of-another-log', `key: expected ${trust.logPublicKey}, got ${log.publicKey}`);
  }
  return verifyCheckpoint(log.checkpoint, log.origin, hexToBytes(log.publicKey));
}

function verifyLeaves({ batches }: OpenBundle, { size, root }: Checkpoint, crypto: Crypto): Checked {
  for (const { batch, digest, index, path } of batches) {
    if (!verifyInclusion(leafHash(digest, crypto.sha256), index, size, path, root, crypto.sha256)) {
      return reject('batch-not-in-log', `batch ${batch.sequence} is not leaf ${index} of ${size}`);
    }
  }
  return accept(`${batches.length} batches are leaves of the log`);
}

function verifyHeads({ log: { heads } }: Bundle, { size, root }: Checkpoint, crypto: Crypto): Checked {
  for (const head of heads) {
    const path = head.path.map(hexToBytes);
    if (!verifyConsistency(head.size, size, hexToBytes(head.root), root, path, crypto.sha256)) {
      return reject('head-inconsistent', `the head of ${head.size} leaves is no prefix of the log of ${size}`);
    }
  }
  const sizes = heads.map((head) => `${head.size}${head.anchor === null ? '' : ' (anchored)'}`);
  return accept(sizes.length === 0 ? 'none' : `the log has only grown since ${sizes.join(', ')} leaves`);
}

function verifyAllEvidence(open: OpenBundle, crypto: Crypto): Checked {
  const said: string[] = [];
  for (const stated of open.bundle.evidence) {
    const verdict = verifyStated(open, stated, crypto);
    if (!verdict.ok) return verdict;
    said.push(verdict.value);
  }
  return accept(said.length === 0 ? 'none' : said.join('; '));
}

function verifyStated(open: OpenBundle, stated: Bundle['evidence'][number], crypto: Crypto): Checked {
  const { order, terms, createdAtSec } = open.bundle;
  const limit = terms.limits.find(({ channel }) => channel === stated.channel);
  if (limit === undefined) return reject('ChannelNotInTerms', `channel ${stated.channel} has no limit`);
  const runs = collectRuns(open, stated);
  if (!runs.ok) return runs;
  const [run] = runs.value;
  const claim = {
    device: hexToBytes(order.device),
    terms: { ...limit, sampleGapSecMax: terms.sampleGapSecMax },
    dispatchedAtSec: order.judgedFromSec,
    nowSec: createdAtSec,
  };
  const isOne = stated.kind === 'excursion';
  if (isOne && runs.value.length !== 1) return reject('RunCountOutOfRange', `an excursion is one run`);
  const verified = isOne
    ? verifyEvidence(run!, claim, crypto)
    : verifyCumulative(runs.value, claim, limit.cumulativeSecMin, crypto);
  if (!verified.ok) return verified;
  const digest = hex(isOne ? digestEvidence(run!) : digestCumulative(runs.value));
  if (digest !== stated.digest) return reject('evidence-digest-mismatch', `expected ${digest}, got ${stated.digest}`);
  const { startedAtSec, durationSec, peakCentiC } = verified.value;
  if (startedAtSec !== stated.startedAtSec || durationSec !== stated.durationSec || peakCentiC !== stated.peakCentiC) {
    const found = `${durationSec} s from ${startedAtSec} on, peak ${peakCentiC}`;
    return reject('excursion-misstated', `the samples give ${found}`);
  }
  return accept(`${stated.kind} ${digest}: ${durationSec} s outside, as far as ${(peakCentiC / 100).toFixed(2)} °C`);
}

/** The runs as a contract is given them, cut out of the bundle's batches. */
function collectRuns(
  { bundle, batches }: OpenBundle,
  { channel, runs }: Bundle['evidence'][number],
): Verdict<Evidence[], 'evidence-not-shown'> {
  const publicKey = hexToBytes(bundle.device.publicKey);
  const bySequence = new Map(batches.map((each) => [each.batch.sequence, each]));
  const collected: Evidence[] = [];
  for (const { firstSequence, lastSequence, skip, count } of runs) {
    const cut: EvidenceBatch[] = [];
    if (lastSequence < firstSequence)
      return reject('evidence-not-shown', `batches ${firstSequence} to ${lastSequence}`);
    for (let sequence = firstSequence; sequence <= lastSequence; sequence++) {
      const held = bySequence.get(sequence);
      const leaf = held?.series.find(({ series }) => !isPrivate(series) && series.channel === channel);
      if (held === undefined || leaf === undefined || isPrivate(leaf.series)) {
        return reject('evidence-not-shown', `channel ${channel} of batch ${sequence}`);
      }
      const { batch, signature } = held;
      const { marks } = leaf.series;
      const samples = packSamples(leaf.series, batch.firstSec);
      cut.push({ batch, signature, marks, leafIndex: leaf.leafIndex, path: leaf.path, samples });
    }
    collected.push({ publicKey, channel, skip, count, batches: cut });
  }
  return accept(collected);
}

function verifySeal(bundle: Bundle, crypto: Crypto): Checked {
  const { log, seal } = bundle;
  const preimage = bundlePreimage(digestBundle(bundle satisfies UnsealedBundle, crypto.sha256));
  if (verifyEd25519(hexToBytes(log.publicKey), preimage, hexToBytes(seal))) {
    return accept(`by log key ${log.publicKey}: who states what no check above proves`);
  }
  return reject('seal-invalid', 'the log key has not signed this text');
}

function hex(bytes: Uint8Array): string {
  return bytesToHex(bytes);
}
