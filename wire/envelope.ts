/**
 * What a device sends: its signed batch, with the series that the batch's root commits to.
 *
 *   envelope = [#6.18([protected, {}, batch: bstr, signature: bstr]), [* series: bstr]]
 *
 * The first element is a plain COSE_Sign1 and is all that is signed; the series travel beside it, because a verifier
 * that may see one channel only gets that leaf and an inclusion path instead.
 */
import { decodeBatch, digestBatch, encodeBatch, type Batch, type BatchReason } from './batch.ts';
import { bytesEqual } from './bytes.ts';
import { decodeCbor, encodeCbor, isCborArray } from './cbor.ts';
import { isLowS, referenceCrypto, type Crypto } from './crypto.ts';
import { envelopeBytesMax, seriesPerBatchMax } from './limits.ts';
import { decodeLeaf, isPrivate, type Leaf } from './leaf.ts';
import { leafHash, merkleRoot } from './merkle.ts';
import { envelopePreimage, protectedEs256 } from './preimage.ts';
import { sealPrivate, type PrivateFormReason, type PrivateGroup } from './private-series.ts';
import { encodeSeries, type Series, type SeriesReason } from './series.ts';
import { openSign1, sign1 } from './sign1.ts';
import { accept, assert, reject, type Verdict } from './verdict.ts';

export type Envelope = {
  /** encodeBatch's bytes, which are what is signed. */
  readonly batch: Uint8Array;
  /** r ‖ s, low s. */
  readonly signature: Uint8Array;
  /** encodeSeries' or sealPrivate's bytes, in the order of the tree's leaves. */
  readonly series: readonly Uint8Array[];
};

/**
 * First byte of an envelope that travels deflated (RFC 1951): no CBOR array begins so. Only for the road: what is
 * signed, logged and named is the envelope itself.
 */
export const deflatedMark = 0x00;

/** An envelope with everything in it decoded and checked, ready for the stages behind `verify`. */
export type OpenEnvelope = {
  readonly envelope: Envelope;
  readonly batch: Batch;
  readonly digest: Uint8Array;
  /** In the order of the tree's leaves. */
  readonly leaves: readonly Leaf[];
  /** Those of the leaves that everybody can read. */
  readonly series: readonly Series[];
  /** Of the other leaves: there, and for their parties alone. */
  readonly privateChannels: readonly number[];
};

export type EnvelopeReason =
  /** Over envelopeBytesMax. */
  | 'envelope-too-large'
  /** Not the CBOR of an envelope, or not its one canonical encoding. */
  | 'envelope-malformed'
  | BatchReason
  | SeriesReason
  | PrivateFormReason
  /** The series do not have the root that was signed. */
  | 'root-mismatch'
  /**
   * first and last are not the times of the earliest and the latest sample; or, where series are private, a sample that
   * everybody can read lies outside them.
   */
  | 'times-mismatch'
  /** A channel twice in one batch. */
  | 'channel-repeated'
  /** The twin (r, n - s) of a signature that may well be valid. */
  | 'signature-not-low-s'
  | 'signature-invalid';

/** Which series only chosen parties are to read, and 32 random bytes that nobody else has: see sealPrivate. */
export type Privacy = { readonly groups: readonly PrivateGroup[]; readonly secret: Uint8Array };

const everythingOpen: Privacy = { groups: [], secret: new Uint8Array() };

/**
 * Readings -> Batch and its encoded series. Pure: the same series seal to the same batch.
 * `sealedAtSec` dates a heartbeat, a batch without series; otherwise the samples' own times count.
 */
export function sealBatch(
  series: readonly Series[],
  chain: { device: Uint8Array; sequence: number; previous: Uint8Array; flags: number; sealedAtSec: number },
  { groups, secret }: Privacy = everythingOpen,
): { batch: Batch; encoded: Uint8Array; series: Uint8Array[] } {
  assert(series.length <= seriesPerBatchMax, `${series.length} series are at most ${seriesPerBatchMax}`);
  const { sealedAtSec, ...link } = chain;
  const times = timesOf(series) ?? { firstSec: sealedAtSec, lastSec: sealedAtSec };
  const place = { ...link, firstSec: times.firstSec };
  const hidden = groups
    .map(({ channels, parties }) => ({ parties, of: series.filter(({ channel }) => channels.includes(channel)) }))
    .filter(({ of }) => of.length > 0);
  const open = series.filter((each) => !hidden.some(({ of }) => of.includes(each)));
  const encodedSeries = [
    ...open.map((each) => encodeSeries(each, times.firstSec)),
    ...hidden.map(({ of, parties }) => sealPrivate(of, place, parties, secret)),
  ];
  const root = merkleRoot(encodedSeries.map((each) => leafHash(each)));
  const batch = { ...link, ...times, seriesCount: encodedSeries.length, root };
  return { batch, encoded: encodeBatch(batch), series: encodedSeries };
}

export function encodeEnvelope({ batch, signature, series }: Envelope): Uint8Array {
  const encoded = encodeCbor([sign1(protectedEs256, batch, signature), series]);
  assert(encoded.length <= envelopeBytesMax, `${encoded.length} bytes are at most ${envelopeBytesMax}`);
  return encoded;
}

/** Form only: canonical or refused. Whether it is true, openEnvelope and verifyEnvelope say. */
export function decodeEnvelope(bytes: Uint8Array): Verdict<Envelope, EnvelopeReason> {
  if (bytes.length > envelopeBytesMax) {
    return reject('envelope-too-large', `expected <= ${envelopeBytesMax} bytes, got ${bytes.length}`);
  }
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('envelope-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 2) return reject('envelope-malformed', 'expected an array of 2');
  const [signedPart, series] = item;
  const signed = openSign1(signedPart!, protectedEs256);
  if (signed === undefined) return reject('envelope-malformed', 'expected a COSE_Sign1 with protected header {1: -7}');
  if (series === undefined || !isCborArray(series) || !series.every((each) => each instanceof Uint8Array)) {
    return reject('envelope-malformed', 'series: expected an array of byte strings');
  }
  return accept({ batch: signed.payload, signature: signed.signature, series });
}

/** Decodes the batch and its series and checks that they belong together. Everything but the signature. */
export function openEnvelope(
  envelope: Envelope,
  crypto: Pick<Crypto, 'sha256'> = referenceCrypto,
): Verdict<OpenEnvelope, EnvelopeReason> {
  const decoded = decodeBatch(envelope.batch);
  if (!decoded.ok) return decoded;
  const batch = decoded.value;
  if (batch.seriesCount !== envelope.series.length) {
    return reject('root-mismatch', `expected ${batch.seriesCount} series, got ${envelope.series.length}`);
  }
  const root = merkleRoot(
    envelope.series.map((each) => leafHash(each, crypto.sha256)),
    crypto.sha256,
  );
  if (!bytesEqual(root, batch.root)) return reject('root-mismatch', 'the series are not those of the signed root');
  const leaves: Leaf[] = [];
  const series: Series[] = [];
  const privateChannels: number[] = [];
  for (const encoded of envelope.series) {
    const opened = decodeLeaf(encoded, batch.firstSec);
    if (!opened.ok) return opened;
    leaves.push(opened.value);
    if (isPrivate(opened.value)) privateChannels.push(...opened.value.channels);
    else series.push(opened.value);
  }
  const channels = new Set(privateChannels);
  for (const { channel } of series) channels.add(channel);
  if (channels.size !== series.length + privateChannels.length) {
    return reject('channel-repeated', 'each channel has one series in a batch');
  }
  const timed = verifyTimes(batch, series, privateChannels.length > 0);
  if (!timed.ok) return timed;
  const digest = digestBatch(envelope.batch, crypto.sha256);
  return accept({ envelope, batch, digest, leaves, series, privateChannels });
}

/** Where nobody but the parties knows all times, only those that everybody knows can be held against the batch. */
function verifyTimes(
  { firstSec, lastSec }: Batch,
  series: readonly Series[],
  isPartlyPrivate: boolean,
): Verdict<true, 'times-mismatch'> {
  const times = timesOf(series);
  if (times === undefined) return accept(true);
  const isExact = times.firstSec === firstSec && times.lastSec === lastSec;
  const isWithin = times.firstSec >= firstSec && times.lastSec <= lastSec;
  if (isExact || (isPartlyPrivate && isWithin)) return accept(true);
  const samples = `samples from ${times.firstSec} to ${times.lastSec}`;
  return reject('times-mismatch', `batch from ${firstSec} to ${lastSec}, ${samples}`);
}

/** The device's signature over the batch (RFC 9052 §4.4, RFC 9053 §2.1), low s only. */
export function verifyEnvelope(
  { batch, signature }: Pick<Envelope, 'batch' | 'signature'>,
  publicKey: Uint8Array,
  crypto: Pick<Crypto, 'verifyP256'> = referenceCrypto,
): Verdict<true, 'signature-not-low-s' | 'signature-invalid'> {
  if (!isLowS(signature)) return reject('signature-not-low-s', 's: expected s <= n / 2, got the upper twin');
  if (!crypto.verifyP256(publicKey, envelopePreimage(batch), signature)) {
    return reject('signature-invalid', 'the signature is not by the device key over this batch');
  }
  return accept(true);
}

function timesOf(series: readonly Series[]): { firstSec: number; lastSec: number } | undefined {
  let firstSec = Number.POSITIVE_INFINITY;
  let lastSec = Number.NEGATIVE_INFINITY;
  for (const { samples } of series) {
    firstSec = Math.min(firstSec, samples[0]!.timeSec);
    lastSec = Math.max(lastSec, samples.at(-1)!.timeSec);
  }
  return series.length === 0 ? undefined : { firstSec, lastSec };
}
