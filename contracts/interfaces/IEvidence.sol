// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The form of excursion evidence, and every reason to refuse it
/// @notice The bytes behind these structs, and the order of the checks, are those of wire/WIRE.md ("Evidence of an
/// excursion"); wire/evidence.ts refuses with the same names. Temperatures are centi-degrees Celsius (1/100 °C), times
/// Unix seconds.
interface IEvidence {
    /// @notice One batch that a device sealed and signed: all that the signature is over, and the signature.
    struct SealedBatch {
        /// Number of the batch, contiguous from 0 for each device key.
        uint32 sequence;
        /// SHA-256 of the batch before, zero at sequence 0.
        bytes32 previous;
        /// Times of the batch's earliest and latest sample, of all channels, or of its sealing when it has none, Unix
        /// seconds.
        uint32 first;
        uint32 last;
        /// RFC 9162 tree hash over the batch's series.
        bytes32 root;
        /// Leaves in that tree; 0 is a heartbeat.
        uint8 seriesCount;
        /// Flags of the batch; those in 0xff00 forbid its use as evidence.
        uint16 flags;
        /// ES256 signature of the device over the batch, s <= (n - 1) / 2.
        bytes32 r;
        bytes32 s;
    }

    /// @notice A SealedBatch, and behind its fields what opens it for a single channel.
    struct SealedSeries {
        /// Number of the batch, contiguous from 0 for each device key.
        uint32 sequence;
        /// SHA-256 of the batch before, zero at sequence 0.
        bytes32 previous;
        /// Times of the batch's earliest and latest sample, of all channels, Unix seconds.
        uint32 first;
        uint32 last;
        /// RFC 9162 tree hash over the batch's series.
        bytes32 root;
        /// Leaves in that tree.
        uint8 seriesCount;
        /// Flags of the batch; those in 0xff00 forbid its use as evidence.
        uint16 flags;
        /// ES256 signature of the device over the batch, s <= (n - 1) / 2.
        bytes32 r;
        bytes32 s;
        /// What the agent noticed about the sensor; evidence must have none.
        uint8 marks;
        /// Index of the channel's series in the tree, from 0, and its inclusion path, from the leaf up.
        uint8 leafIndex;
        bytes32[] path;
        /// Packed samples: 2 bytes of delta seconds and 2 bytes of signed centi-degrees each.
        bytes samples;
    }

    /// @notice One unbroken run of samples outside the limits, in the contiguous batches that hold it.
    struct ExcursionEvidence {
        /// The device's P-256 key; the device is SHA-256(x ‖ y).
        bytes32 x;
        bytes32 y;
        uint8 channel;
        /// Samples of the first batch that come before the run.
        uint16 skip;
        /// Samples in the run, over all batches.
        uint16 count;
        /// Oldest first; the run begins in the first and ends in the last.
        SealedSeries[] batches;
    }

    /// @notice What the parties agreed to call an excursion. A sample at a limit is outside it.
    struct ExcursionTerms {
        uint8 channel;
        int16 lowerLimitCentiC;
        int16 upperLimitCentiC;
        /// Seconds from the first to the last sample of a run, at least.
        uint32 excursionSecMin;
        /// Seconds between two neighbouring samples of a run, at most.
        uint16 sampleGapSecMax;
    }

    /// @notice What the evidence proved.
    struct Excursion {
        /// Unix seconds of the first sample of the run.
        uint32 startedAt;
        /// Seconds from the first to the last sample of the run.
        uint32 durationSec;
        /// The warmest sample of a warm run, the coldest of a cold one, centi-degrees Celsius.
        int16 peakCentiC;
    }

    /// @notice The key in the evidence is not the key of the device that the order was dispatched with.
    error DeviceNotAssigned(bytes32 got, bytes32 want);
    /// @notice The evidence is about a channel that the terms do not limit.
    error ChannelNotInTerms(uint8 got, uint8 want);
    /// @notice No batch, no sample, a skip over the first batch, or batches that the run does not reach.
    /// `batchIndex` is where the run could not go on, `samplesLeft` what was still to come.
    error RunMalformed(uint256 batchIndex, uint256 samplesLeft, uint256 skip);
    /// @notice The batch carries a flag that forbids its use as evidence, such as an unsynchronised clock.
    error BatchFlagged(uint32 sequence, uint16 flags);
    /// @notice Sequence or previous digest does not follow the batch before.
    error BatchNotContiguous(uint32 sequence, bytes32 previous, uint32 sequenceBefore, bytes32 digestBefore);
    /// @notice The agent marked the sensor as stuck, spiking, out of its range, or giving invalid values.
    error SeriesMarked(uint32 sequence, uint8 marks);
    /// @notice The samples are none, or not a whole number of 4 bytes.
    error SamplesMalformed(uint32 sequence, uint256 sizeBytes);
    /// @notice Samples, channel, index and path do not lead to the root that was signed.
    error SeriesNotInBatch(uint32 sequence, bytes32 root);
    /// @notice The upper twin (r, n - s) of a signature.
    error SignatureNotLowS(uint32 sequence, bytes32 s);
    /// @notice The signature is not by the device's key over this batch.
    error SignatureInvalid(uint32 sequence, bytes32 digest);
    /// @notice The run begins before the order was dispatched. Unix seconds.
    error SampleBeforeDispatch(uint256 sampleAt, uint256 dispatchedAt);
    /// @notice Two neighbouring samples are further apart than the terms allow, or run backwards. Unix seconds.
    error SampleGapTooLong(uint256 sampleAt, uint256 sampleBeforeAt, uint16 gapSecMax);
    /// @notice The sensor reported that it was at fault. Unix seconds.
    error SampleFaulty(uint256 sampleAt);
    /// @notice A sample of the run is within the limits, or beyond the other one. Unix seconds, centi-degrees.
    error SampleWithinLimits(uint256 sampleAt, int16 valueCentiC);
    /// @notice The run ends after the present. Unix seconds.
    error SampleInFuture(uint256 sampleAt, uint256 nowAt);
    /// @notice The run is shorter than the terms. Seconds.
    error RunTooShort(uint256 durationSec, uint32 excursionSecMin);
    /// @notice Cumulative evidence has no runs, or too many for one transaction.
    error RunCountOutOfRange(uint256 got, uint256 max);
    /// @notice A run of cumulative evidence does not start after the one before it ended. Unix seconds.
    error RunsNotInOrder(uint256 runIndex, uint256 startedAt, uint256 endedBeforeAt);
    /// @notice The runs of cumulative evidence are shorter in all than the terms. Seconds.
    error CumulativeTooShort(uint256 durationSec, uint32 cumulativeSecMin);
}
