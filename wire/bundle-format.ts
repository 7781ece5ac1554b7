/**
 * One file with everything that a stranger needs to check what happened to a shipment: BUNDLE.md. This file knows its
 * form, bundle.ts what makes it true.
 */
import { decodeBatch, digestBatch, type Batch } from './batch.ts';
import { hexToBytes, utf8ToBytes } from './bytes.ts';
import { cumulativeRunsMax, inclusionPathLengthMax, indexMax, logPathLengthMax, sequenceMax } from './limits.ts';
import { bundleBatchesMax, bundleBytesMax, samplesPerSeriesMax, seriesPerBatchMax, unixSecMax } from './limits.ts';
import { referenceCrypto, type Crypto } from './crypto.ts';
import { formatJson, parseJson, readShape, shapes, type Json, type ValueOf } from './json.ts';
import { decodeLeaf, type Leaf } from './leaf.ts';
import { addressShape, termsShape, wordShape } from './terms.ts';
import { accept, reject, type Verdict } from './verdict.ts';

const { struct, list, integer, text, nullable, literal, oneOf } = shapes;

const hex = (size: number) => text(new RegExp(`^[0-9a-f]{${2 * size}}$`), `${2 * size} lower-case hex digits`);
const digest = hex(32);
const signature = hex(64);
const someHex = text(/^([0-9a-f]{2})+$/, 'lower-case hex digits of whole bytes');
const unixSec = integer(0, unixSecMax);
const orderId = text(/^[1-9][0-9]{0,77}$/, 'a decimal number from 1');
const logPath = list(digest, 0, logPathLengthMax);

const transactionShape = struct({
  hash: wordShape,
  blockNumber: integer(0, indexMax),
  blockHash: nullable(wordShape),
});

const bundleShape = struct({
  format: literal('coldproof-bundle'),
  version: literal(1),
  /** By the oracle's clock; no sample of the evidence is later. */
  createdAtSec: unixSec,
  /** The samples that the bundle is about lie within, both included. */
  window: struct({ fromSec: unixSec, toSec: unixSec }),
  chain: struct({ chainId: integer(1, indexMax), shipments: addressShape, agreements: addressShape }),
  order: struct({
    orderId,
    agreementId: orderId,
    state: text(/^[A-Za-z]{1,32}$/, 'a state of Shipments.sol'),
    finality: oneOf(['provisional', 'safe', 'final'] as const),
    device: digest,
    truck: wordShape,
    /** Evidence counts from here on. */
    judgedFromSec: unixSec,
    deliveredAtSec: unixSec,
  }),
  terms: termsShape,
  termsDigest: digest,
  device: struct({
    publicKey: hex(64),
    owner: addressShape,
    asset: text(/^[ -~]{0,11}$/, 'up to 11 characters'),
    validFromSec: unixSec,
    revokedFromSec: nullable(unixSec),
    calibrationDigest: digest,
    calibrationUntilSec: unixSec,
  }),
  log: struct({
    origin: text(/^[a-z0-9.-]+(\/[A-Za-z0-9._~/-]*)?$/, 'a URL without its schema'),
    publicKey: hex(32),
    checkpoint: text(/^[^\0]{1,4096}$/, 'a signed note'),
    /** Earlier heads, each with its consistency proof to the checkpoint; anchored ones say where. */
    heads: list(
      struct({
        size: integer(1, indexMax),
        root: digest,
        path: logPath,
        anchor: nullable(struct({ contract: addressShape, transaction: transactionShape })),
      }),
      0,
      16,
    ),
  }),
  /** Contiguous, oldest first. */
  batches: list(
    struct({
      batch: someHex,
      signature,
      index: integer(0, indexMax),
      path: logPath,
      series: list(
        struct({ leafIndex: integer(0, 63), path: list(digest, 0, inclusionPathLengthMax), bytes: someHex }),
        0,
        seriesPerBatchMax,
      ),
    }),
    0,
    bundleBatchesMax,
  ),
  /** Series of these batches that the bundle does not show. */
  withheldSeries: integer(0, bundleBatchesMax * seriesPerBatchMax),
  evidence: list(
    struct({
      kind: oneOf(['excursion', 'cumulative'] as const),
      channel: integer(0, 0x7f),
      /** Where the runs stand in the batches above. */
      runs: list(
        struct({
          firstSequence: integer(0, sequenceMax),
          lastSequence: integer(0, sequenceMax),
          skip: integer(0, samplesPerSeriesMax),
          count: integer(1, samplesPerSeriesMax * bundleBatchesMax),
        }),
        1,
        cumulativeRunsMax,
      ),
      digest,
      startedAtSec: unixSec,
      durationSec: unixSec,
      peakCentiC: integer(-0x8000, 0x7fff),
      transaction: nullable(transactionShape),
    }),
    0,
    64,
  ),
  /** The log key's word (Ed25519) for all of the above, proved or not. */
  seal: signature,
});

export type Bundle = ValueOf<typeof bundleShape>;
export type UnsealedBundle = Omit<Bundle, 'seal'>;

export type OpenBundleBatch = {
  readonly batch: Batch;
  readonly encoded: Uint8Array;
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly index: number;
  readonly path: readonly Uint8Array[];
  readonly series: readonly {
    readonly leafIndex: number;
    readonly path: readonly Uint8Array[];
    readonly bytes: Uint8Array;
    readonly series: Leaf;
  }[];
};

/** A bundle whose form is right, with its bytes decoded. Nothing in it is verified yet. */
export type OpenBundle = { readonly bundle: Bundle; readonly batches: readonly OpenBundleBatch[] };

export type BundleFormReason = 'bundle-too-large' | 'bundle-malformed' | 'bundle-not-canonical';

/** What the log key signs: the text of the bundle without its seal. */
export function digestBundle(bundle: UnsealedBundle, sha256 = referenceCrypto.sha256): Uint8Array {
  return sha256(utf8ToBytes(formatJson(withoutSeal(bundle))));
}

export function formatBundle(bundle: Bundle): string {
  return formatJson(bundle);
}

/** Canonical or refused; every byte string in it is decoded. */
export function parseBundle(
  textOf: string,
  crypto: Pick<Crypto, 'sha256'> = referenceCrypto,
): Verdict<OpenBundle, BundleFormReason> {
  if (textOf.length > bundleBytesMax) {
    return reject('bundle-too-large', `expected <= ${bundleBytesMax} characters, got ${textOf.length}`);
  }
  const parsed = parseJson(textOf);
  if (!parsed.ok) {
    const reason = parsed.reason === 'json-malformed' ? 'bundle-malformed' : 'bundle-not-canonical';
    return reject(reason, parsed.detail);
  }
  const shaped = readShape(bundleShape, parsed.value, 'bundle');
  if (!shaped.ok) return reject('bundle-malformed', shaped.detail);
  const batches: OpenBundleBatch[] = [];
  for (const [i, each] of shaped.value.batches.entries()) {
    const opened = openBatch(each, crypto);
    if (!opened.ok) return reject('bundle-malformed', `bundle.batches[${i}].${opened.detail}`);
    batches.push(opened.value);
  }
  return accept({ bundle: shaped.value, batches });
}

function openBatch(
  { batch: encodedHex, signature, index, path, series }: Bundle['batches'][number],
  { sha256 }: Pick<Crypto, 'sha256'>,
): Verdict<OpenBundleBatch, 'bundle-malformed'> {
  const encoded = hexToBytes(encodedHex);
  const decoded = decodeBatch(encoded);
  if (!decoded.ok) return reject('bundle-malformed', `batch.${decoded.detail}`);
  const batch = decoded.value;
  const opened: OpenBundleBatch['series'][number][] = [];
  for (const [i, each] of series.entries()) {
    const bytes = hexToBytes(each.bytes);
    const read = decodeLeaf(bytes, batch.firstSec);
    if (!read.ok) return reject('bundle-malformed', `series[${i}].${read.detail}`);
    opened.push({ leafIndex: each.leafIndex, path: each.path.map(hexToBytes), bytes, series: read.value });
  }
  return accept({
    ...{ batch, encoded, digest: digestBatch(encoded, sha256), signature: hexToBytes(signature) },
    ...{ index, path: path.map(hexToBytes), series: opened },
  });
}

function withoutSeal(bundle: UnsealedBundle & { readonly seal?: string }): Json {
  return Object.fromEntries(Object.entries(bundle).filter(([key]) => key !== 'seal'));
}
