/** Finding -> Evidence. Pure. The evidence is as small as it can be, and has passed wire's verifyEvidence. */
import {
  accept,
  assert,
  bytesToHex,
  channelName,
  digestCumulative,
  digestEvidence,
  leafHash,
  makeInclusionProof,
  packSamples,
  parseHex,
  subtreesOf,
  unixSecMax,
  verifyCumulative,
  verifyEvidence,
  type Crypto,
  type CumulativeReason,
  type Evidence,
  type EvidenceBatch,
  type Excursion,
  type Finding,
  type LimitUnderWatch,
  type OpenEnvelope,
  type RunLocation,
  type Verdict,
} from '@coldproof/wire';

/** What goes to the chain: one run, or several that break the terms together. */
export type Proof = {
  readonly method: 'reportExcursion' | 'reportCumulative';
  readonly runs: readonly Evidence[];
  readonly digest: Uint8Array;
  readonly excursion: Excursion;
};

/** A run's location, and the batches of just that location, oldest first. */
export type LocatedRun = { readonly location: RunLocation; readonly batches: readonly OpenEnvelope[] };

/**
 * Proves the finding of `rule` from its runs. A refusal here means that rule and verifier disagree, which is a bug; it
 * is returned, so that one order's trouble does not stop the others.
 */
export function prove(
  rule: Finding['rule'],
  { judgedFromSec, terms }: LimitUnderWatch,
  located: readonly LocatedRun[],
  publicKey: Uint8Array,
  crypto: Crypto,
): Verdict<Proof, CumulativeReason> {
  const runs = located.map((run) => evidenceOf(run, terms.channel, publicKey, crypto));
  const { device } = located[0]!.batches[0]!.batch;
  // Whether a sample lies in the future is for the chain's clock to say, when the transaction is checked beforehand.
  const claim = { device, terms, dispatchedAtSec: judgedFromSec, nowSec: unixSecMax };
  if (rule === 'cumulative') {
    const verified = verifyCumulative(runs, claim, terms.cumulativeSecMin, crypto);
    if (!verified.ok) return verified;
    return accept({ method: 'reportCumulative', runs, digest: digestCumulative(runs), excursion: verified.value });
  }
  const [run] = runs;
  assert(run !== undefined && runs.length === 1, 'an excursion is one run');
  const verified = verifyEvidence(run, claim, crypto);
  if (!verified.ok) return verified;
  return accept({ method: 'reportExcursion', runs, digest: digestEvidence(run), excursion: verified.value });
}

/** The arguments of the proof's method, after the order. */
export function proofArgument({ method, runs }: Proof) {
  const all = runs.map(evidenceArgument);
  return method === 'reportExcursion' ? all[0] : all;
}

function evidenceOf(
  { location, batches }: LocatedRun,
  channel: number,
  publicKey: Uint8Array,
  crypto: Crypto,
): Evidence {
  const { firstSequence, lastSequence, skip, count } = location;
  assert(batches.length === lastSequence - firstSequence + 1, 'the batches are those of the run');
  return { publicKey, channel, skip, count, batches: batches.map((each) => cutBatch(each, channel, crypto)) };
}

/** Only the channel's own leaf leaves the batch: nothing about position or door goes on chain. */
function cutBatch(
  { envelope, batch, leaves: shown, series }: OpenEnvelope,
  channel: number,
  crypto: Crypto,
): EvidenceBatch {
  const found = series.find((each) => each.channel === channel);
  assert(found !== undefined, `each batch of a run has ${channelName(channel)}`);
  const leaves = envelope.series.map((encoded) => leafHash(encoded, crypto.sha256));
  return {
    batch,
    signature: envelope.signature,
    marks: found.marks,
    leafIndex: shown.indexOf(found),
    path: makeInclusionProof(shown.indexOf(found), leaves.length, subtreesOf(leaves, crypto.sha256)),
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
