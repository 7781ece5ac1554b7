/** Finding -> Evidence. Pure. The evidence is as small as it can be, and has passed wire's verifyEvidence. */
import {
  assert,
  bytesToHex,
  channelName,
  digestEvidence,
  leafHash,
  makeInclusionProof,
  packSamples,
  parseHex,
  subtreesOf,
  unixSecMax,
  verifyEvidence,
  type Crypto,
  type Evidence,
  type EvidenceBatch,
  type EvidenceReason,
  type Excursion,
  type OpenEnvelope,
  type Verdict,
} from '@coldproof/wire';
import type { LimitUnderWatch, RunLocation } from './evaluate.ts';

export type Proof = { readonly evidence: Evidence; readonly digest: Uint8Array; readonly excursion: Excursion };

/**
 * `batches` are those of the run's location, oldest first. A refusal here means that rule and verifier disagree, which
 * is a bug; it is returned, so that one order's trouble does not stop the others.
 */
export function prove(
  { judgedFromSec, terms }: LimitUnderWatch,
  run: RunLocation,
  batches: readonly OpenEnvelope[],
  publicKey: Uint8Array,
  crypto: Crypto,
): Verdict<Proof, EvidenceReason> {
  assert(batches.length === run.lastSequence - run.firstSequence + 1, 'the batches are those of the run');
  const evidence: Evidence = {
    publicKey,
    channel: terms.channel,
    skip: run.skip,
    count: run.count,
    batches: batches.map((each) => cutBatch(each, terms.channel, crypto)),
  };
  const device = batches[0]!.batch.device;
  // Whether a sample lies in the future is for the chain's clock to say, when the transaction is checked beforehand.
  const verified = verifyEvidence(
    evidence,
    { device, terms, dispatchedAtSec: judgedFromSec, nowSec: unixSecMax },
    crypto,
  );
  if (!verified.ok) return verified;
  return { ok: true, value: { evidence, digest: digestEvidence(evidence), excursion: verified.value } };
}

/** Only the channel's own leaf leaves the batch: nothing about position or door goes on chain. */
function cutBatch({ envelope, batch, series }: OpenEnvelope, channel: number, crypto: Crypto): EvidenceBatch {
  const leafIndex = series.findIndex((each) => each.channel === channel);
  const found = series[leafIndex];
  assert(found !== undefined, `each batch of a run has ${channelName(channel)}`);
  const leaves = envelope.series.map((encoded) => leafHash(encoded, crypto.sha256));
  return {
    batch,
    signature: envelope.signature,
    marks: found.marks,
    leafIndex,
    path: makeInclusionProof(leafIndex, leaves.length, subtreesOf(leaves, crypto.sha256)),
    samples: packSamples(found, batch.firstSec),
  };
}

/** The argument of Shipments.reportExcursion: wire's Evidence with the device left out, which the contract derives. */
export function evidenceArgument({ publicKey, channel, skip, count, batches }: Evidence) {
  return {
    x: publicKey.subarray(0, 32),
    y: publicKey.subarray(32),
    channel,
    skip,
    count,
    batches: batches.map(({ batch, signature, marks, leafIndex, path, samples }) => ({
      sequence: batch.sequence,
      previous: batch.previous,
      first: batch.firstSec,
      last: batch.lastSec,
      root: batch.root,
      seriesCount: batch.seriesCount,
      flags: batch.flags,
      r: signature.subarray(0, 32),
      s: signature.subarray(32),
      marks,
      leafIndex,
      path: [...path],
      samples,
    })),
  };
}

/** Evidence as JSON: the same fields, bytes as hex. What `GET /api/v1/evidence` gives. */
export function evidenceJson({ publicKey, channel, skip, count, batches }: Evidence) {
  return {
    publicKey: bytesToHex(publicKey),
    channel,
    skip,
    count,
    batches: batches.map(({ batch, signature, marks, leafIndex, path, samples }) => ({
      batch: {
        device: bytesToHex(batch.device),
        sequence: batch.sequence,
        previous: bytesToHex(batch.previous),
        firstSec: batch.firstSec,
        lastSec: batch.lastSec,
        seriesCount: batch.seriesCount,
        root: bytesToHex(batch.root),
        flags: batch.flags,
      },
      signature: bytesToHex(signature),
      marks,
      leafIndex,
      path: path.map((each) => bytesToHex(each)),
      samples: bytesToHex(samples),
    })),
  };
}

/** The reverse of evidenceJson, for what this program has written itself. */
export function parseEvidence(json: ReturnType<typeof evidenceJson>): Evidence {
  return {
    publicKey: bytesOf(json.publicKey),
    channel: json.channel,
    skip: json.skip,
    count: json.count,
    batches: json.batches.map(({ batch, signature, marks, leafIndex, path, samples }) => ({
      batch: {
        ...batch,
        device: bytesOf(batch.device),
        previous: bytesOf(batch.previous),
        root: bytesOf(batch.root),
      },
      signature: bytesOf(signature),
      marks,
      leafIndex,
      path: path.map(bytesOf),
      samples: bytesOf(samples),
    })),
  };
}

function bytesOf(hex: string): Uint8Array {
  const bytes = parseHex(hex, hex.length / 2);
  assert(bytes !== undefined, 'hex that this program has written');
  return bytes;
}
