/**
 * Log, chain and outbox -> one file that anybody can check without us: wire/BUNDLE.md. What is left out is said; what
 * is put in was verified before, and wire's verifyBundle says so again.
 */
import {
  bytesToHex,
  channelsOf,
  digestBundle,
  digestEvidence,
  digestTerms,
  hexToBytes,
  leafHash,
  logOf,
  makeInclusionProof,
  subtreesOf,
  unixSecMax,
  type Bundle,
  type Crypto,
  type UnsealedBundle,
} from '@coldproof/wire';
import type { Log } from './log.ts';
import { parseEvidence, type evidenceJson } from './prove.ts';
import { batchesIn, type LoggedBatch, type Window } from './readings.ts';
import type { ChainHead, Device, Order } from './store-chain.ts';
import type { Action, AnchorRecord, EvidenceRecord } from './store-outbox.ts';
import type { Store } from './store.ts';
import { finalityOf } from './status.ts';

export type BundleSource = {
  readonly store: Store;
  readonly log: Log;
  readonly crypto: Crypto;
  readonly chain: { readonly chainId: number; readonly contracts: Readonly<Record<string, string>> };
};

export type BundleWish = {
  readonly window: Window;
  /** Undefined for all channels. */
  readonly channels?: ReadonlySet<number>;
  /** Leaves of a head that the reader has already. */
  readonly knownSize?: number;
  readonly nowSec: number;
};

/** Undefined when the order has no device yet, or its device is not in the registry. */
export async function makeBundle(source: BundleSource, order: Order, wish: BundleWish): Promise<Bundle | undefined> {
  const { store, log, chain } = source;
  const device = store.chain.device(order.device);
  if (device === undefined) return undefined;
  const held: LoggedBatch[] = [];
  for await (const batch of batchesIn(source, hexToBytes(order.device), wish.window)) held.push(batch);
  // The log may have grown while the batches were read: from here to the end nothing else has a turn.
  const size = log.size;
  const head = store.chain.head();
  const batches = held.map((batch) => showBatch(batch, size, source, wish.channels));
  const shown = new Set(held.map(({ batch: { sequence } }) => sequence));
  const { agreements, shipments } = addressesOf(chain.contracts);
  const unsealed: UnsealedBundle = {
    ...{ format: 'coldproof-bundle', version: 1, createdAtSec: wish.nowSec, window: wish.window },
    chain: { chainId: chain.chainId, shipments, agreements },
    order: describe(store, order, head),
    terms: order.terms,
    termsDigest: bytesToHex(digestTerms(order.terms, { chainId: chain.chainId, agreements })),
    device: describeDevice(device),
    log: {
      ...{ origin: log.origin, publicKey: bytesToHex(log.publicKey), checkpoint: log.checkpoint() },
      heads: headsOf(source, [wish.knownSize, (held.at(-1)?.index ?? -1) + 1]),
    },
    batches,
    withheldSeries: held.reduce((sum, { batch }, i) => sum + batch.seriesCount - batches[i]!.series.length, 0),
    evidence: store.outbox.ofOrder(order.orderId).flatMap((action) => {
      const stated = stateEvidence(action);
      const isShown = stated.runs.every((run) => shown.has(run.firstSequence) && shown.has(run.lastSequence));
      return isShown && (wish.channels?.has(stated.channel) ?? true) ? [stated] : [];
    }),
  };
  return { ...unsealed, seal: bytesToHex(log.sealBundle(digestBundle(unsealed, source.crypto.sha256))) };
}

function addressesOf(contracts: Readonly<Record<string, string>>): { agreements: string; shipments: string } {
  const address = (name: string) => (contracts[name] ?? `0x${'0'.repeat(40)}`).toLowerCase();
  return { agreements: address('Agreements'), shipments: address('Shipments') };
}

function describe(store: Store, order: Order, head: ChainHead | undefined): UnsealedBundle['order'] {
  const { orderId, agreementId, state, device, truck, judgedFromSec, deliveredAtSec } = order;
  const finality = finalityOf(store.chain.lastBlockOf(`order:${orderId}`), head);
  return { orderId, agreementId, state, finality, device, truck: truck.toLowerCase(), judgedFromSec, deliveredAtSec };
}

function describeDevice(device: Device): UnsealedBundle['device'] {
  const { publicKey, owner, asset, validFromSec, revokedFromSec, calibrationDigest, calibrationUntilSec } = device;
  return {
    ...{ publicKey, owner: owner.toLowerCase(), asset, validFromSec, revokedFromSec: revokedFromSec ?? null },
    ...{ calibrationDigest, calibrationUntilSec },
  };
}

/** Heads of these sizes, and of the first anchor that has all that the last of them has. */
function headsOf(
  { store, log, chain }: BundleSource,
  sizes: readonly (number | undefined)[],
): UnsealedBundle['log']['heads'] {
  const wanted = sizes.filter((size) => size !== undefined && size > 0 && size <= log.size) as number[];
  const contract = chain.contracts['AnchorLog'];
  const anchors = contract === undefined ? new Map<number, never>() : anchorsOf(store, log, contract.toLowerCase());
  const anchored = [...anchors.keys()].filter((size) => size <= log.size && size >= Math.max(0, ...wanted));
  if (anchored.length > 0) wanted.push(Math.min(...anchored));
  return [...new Set(wanted)].map((size) => ({
    size,
    root: bytesToHex(log.root(size)),
    path: log.consistencyProof(size, log.size).map((each) => bytesToHex(each)),
    anchor: anchors.get(size) ?? null,
  }));
}

type Anchored = NonNullable<UnsealedBundle['log']['heads'][number]['anchor']>;

/** By size: this log's heads that are in a block of the chain. */
function anchorsOf(store: Store, log: Log, contract: string): Map<number, Anchored> {
  const anchors = new Map<number, Anchored>();
  const id = bytesToHex(logOf(log.publicKey));
  for (const { evidence, mined } of store.outbox.ofOrder('anchor')) {
    // Written by network.ts only.
    const record = JSON.parse(evidence) as AnchorRecord;
    if (mined === undefined || record.log !== id) continue;
    anchors.set(record.size, { contract, transaction: transactionOf(mined) });
  }
  return anchors;
}

function showBatch(
  { envelope, batch, leaves: shown, index }: LoggedBatch,
  size: number,
  { log, crypto }: BundleSource,
  channels: ReadonlySet<number> | undefined,
): UnsealedBundle['batches'][number] {
  const leaves = envelope.series.map((encoded) => leafHash(encoded, crypto.sha256));
  const subtrees = subtreesOf(leaves, crypto.sha256);
  return {
    batch: bytesToHex(envelope.batch),
    signature: bytesToHex(envelope.signature),
    index,
    path: log.inclusionProof(index, size).map((each) => bytesToHex(each)),
    series: envelope.series.flatMap((encoded, leafIndex) => {
      // A private leaf that holds more than what is asked for is not shown: its key opens all of it.
      if (channels !== undefined && !channelsOf(shown[leafIndex]!).every((each) => channels.has(each))) return [];
      const path = makeInclusionProof(leafIndex, batch.seriesCount, subtrees).map((each) => bytesToHex(each));
      return [{ leafIndex, path, bytes: bytesToHex(encoded) }];
    }),
  };
}

function stateEvidence({ evidence, mined }: Action): UnsealedBundle['evidence'][number] {
  // Written by findings.ts only.
  const { digest, excursion, runs } = JSON.parse(evidence) as EvidenceRecord;
  const parsed = (runs as ReturnType<typeof evidenceJson>[]).map(parseEvidence);
  const isOne = parsed.length === 1 && bytesToHex(digestEvidence(parsed[0]!)) === digest;
  return {
    kind: isOne ? 'excursion' : 'cumulative',
    channel: parsed[0]!.channel,
    runs: parsed.map(({ batches, skip, count }) => ({
      firstSequence: batches[0]!.batch.sequence,
      lastSequence: batches.at(-1)!.batch.sequence,
      skip,
      count,
    })),
    digest,
    startedAtSec: excursion.startedAtSec,
    durationSec: excursion.durationSec,
    peakCentiC: excursion.peakCentiC,
    transaction: mined === undefined ? null : transactionOf(mined),
  };
}

function transactionOf({ transactionHash, blockNumber, blockHash }: NonNullable<Action['mined']>) {
  return { hash: transactionHash, blockNumber, blockHash };
}

/** All of the order's transit: what the terms are about. */
export function transitOf({ judgedFromSec, dispatchedAtSec, deliveredAtSec }: Order): Window {
  const fromSec = Math.min(dispatchedAtSec, judgedFromSec);
  return { fromSec, toSec: deliveredAtSec === 0 ? unixSecMax : deliveredAtSec };
}
