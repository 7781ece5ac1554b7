/**
 * Every maximum of the format, the unit last in its name and the reason beside it. WIRE.md states the same figures.
 * A receiver refuses what is over a limit before it spends anything on it.
 */
import { assert } from './verdict.ts';

/** One batch of 64 channels, a day at one sample a minute, would be larger; a gateway seals far more often. */
export const envelopeBytesMax = 65_536;

/** More channels than any reefer has; keeps an inclusion path at 6 digests. */
export const seriesPerBatchMax = 64;
export const inclusionPathLengthMax = 6;

/** A day at one sample a minute. */
export const samplesPerSeriesMax = 1_440;

/** In one private leaf: a position is two, and what goes to other parties has a leaf of its own. */
export const privateChannelsMax = 16;
/** Buyer, carrier, consignee, insurer, two suppliers and two to spare; each takes 94 bytes of every batch. */
export const privatePartiesMax = 8;

/** A sample's distance from the one before it is an unsigned 16-bit number of seconds: 18 h 12 min 15 s. */
export const sampleDeltaSecMax = 0xffff;

/** Times and sequences are unsigned 32-bit, the same in TypeScript and Solidity: until the year 2106. */
export const unixSecMax = 0xffff_ffff;
export const sequenceMax = 0xffff_ffff;

/** A log index or a chain id: the largest integer that JavaScript holds exactly. */
export const indexMax = Number.MAX_SAFE_INTEGER;

/** Deepest nesting in any message is envelope > COSE_Sign1 > header map: 3; one spare refuses a bomb at once. */
export const cborDepthMax = 4;

/** A receipt or an enrolment is far under this; it bounds what a device parses from the network. */
export const receiptBytesMax = 1_024;
export const enrolmentBytesMax = 1_024;
export const checkpointBytesMax = 4_096;

/** What is set from afar is a few hundred bytes; a command's fields are fixed. */
export const ownerConfigBytesMax = 16_384;
export const ownerCommandBytesMax = 512;

/** A command that nobody could answer for a week is news of another voyage; also bounds how long ids are remembered. */
export const commandLifeSecMax = 604_800;
/** Three months of a batch each quarter of an hour, with its proofs; what a browser still holds with ease. */
export const bundleBytesMax = 33_554_432;
export const bundleBatchesMax = 10_000;
/** A proof in a tree of at most indexMax leaves has no more digests; a consistency proof at most one more. */
export const logPathLengthMax = 54;

/** Runs in one piece of cumulative evidence: about 50,000 gas each, so far under a block. */
export const cumulativeRunsMax = 32;

/** What the oracles of a consortium tell one another. A report's payload is a few numbers for a contract to store. */
export const peerMessageBytesMax = 16_384;
export const payloadBytesMax = 4_096;

/** n = 3f + 1 with f up to 10: as OracleSet has it. */
export const oraclesMax = 31;

/** A batch may be dated at most this far ahead of the verifier's clock: drift of a truck clock between two syncs. */
export const clockSkewSecMax = 120;

assert(2 ** inclusionPathLengthMax >= seriesPerBatchMax, 'an inclusion path reaches every series');
assert(samplesPerSeriesMax * 8 < envelopeBytesMax, 'the longest wide series fits an envelope');
