// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Cbor} from "./Cbor.sol";
import {Inclusion} from "./Inclusion.sol";
import {Sha256} from "./Sha256.sol";
import {IEvidence} from "./interfaces/IEvidence.sol";

/// @notice Checks a device's own signatures over a run of samples, and that the run is an excursion. The mirror of
/// wire/evidence.ts: the same checks in the same order. It rebuilds the signed bytes from their fields, so it parses
/// nothing.
library Evidence {
    /// What a batch is signed as (RFC 9052 §4.4): ["Signature1", h'a10126', 'coldproof v1 envelope', batch: bstr]. Up
    /// to the batch's length it is constant; every batch is 109 to 124 bytes long, so its length is always 0x58 and one
    /// byte.
    ///   84 6a "Signature1" 43 a10126 55 "coldproof v1 envelope" 58 LL
    bytes32 private constant PREFIX_HEAD = hex"846a5369676e61747572653143a1012655636f6c6470726f6f6620763120656e";
    bytes32 private constant PREFIX_TAIL = hex"76656c6f70655800890158200000000000000000000000000000000000000000";
    uint256 private constant LENGTH_AT = 39;
    uint256 private constant BATCH_AT = 40;
    /// The batch begins with 89 01 5820: an array of 9, version 1, the device's digest.
    uint256 private constant DEVICE_AT = 44;
    uint256 private constant SEQUENCE_AT = 76;
    /// 40 + 124 bytes, and room for what Cbor overwrites behind an item.
    uint256 private constant PREIMAGE_SIZE = 224;

    uint256 private constant HALF_ORDER = P256.N / 2;
    uint16 private constant CRITICAL_FLAGS = 0xff00;
    int256 private constant FAULT = type(int16).min;
    uint256 private constant SAMPLE_BYTES = 4;
    uint256 private constant NO_SAMPLE = 1 << 32;

    /// What the verifier knows of the order.
    struct Claim {
        bytes32 device;
        /// Unix seconds.
        uint256 dispatchedAt;
        uint256 nowAt;
        IEvidence.ExcursionTerms terms;
    }

    /// The walk over the run's samples, from one batch to the next.
    struct Run {
        uint256 skip;
        uint256 left;
        uint256 startedAt;
        uint256 lastAt;
        int256 peakCentiC;
    }

    /// @notice Reverts with the reason when the evidence does not prove an excursion. `digest` is the identity of the
    /// evidence.
    function verify(
        IEvidence.ExcursionEvidence calldata evidence,
        Claim memory claim
    ) internal view returns (IEvidence.Excursion memory excursion, bytes32 digest) {
        bytes32 device = deviceOf(evidence.x, evidence.y);
        if (device != claim.device) revert IEvidence.DeviceNotAssigned(device, claim.device);
        if (evidence.channel != claim.terms.channel) {
            revert IEvidence.ChannelNotInTerms(evidence.channel, claim.terms.channel);
        }
        Run memory run;
        run.skip = evidence.skip;
        run.left = evidence.count;
        uint256 batchCount = evidence.batches.length;
        if (batchCount == 0 || run.left == 0) revert IEvidence.RunMalformed(0, run.left, run.skip);
        (uint256 preimage, uint256 digests) = _allocate(device, batchCount, evidence.channel);
        for (uint256 i = 0; i < batchCount; ++i) {
            IEvidence.SealedSeries calldata batch = evidence.batches[i];
            _requireUnflagged(_headerOf(batch));
            if (i > 0) _requireContiguous(batch, evidence.batches[i - 1].sequence, _digestAt(digests, i - 1));
            bytes calldata samples = batch.samples;
            _requireSeries(batch, samples, evidence.channel);
            _setDigest(digests, i, _requireSignature(_headerOf(batch), evidence.x, evidence.y, preimage));
            _walk(run, claim, samples, batch.first, i);
        }
        if (run.left > 0) revert IEvidence.RunMalformed(batchCount, run.left, run.skip);
        return (_end(run, claim), _keccak(digests, batchCount));
    }

    /// @notice keccak256(channel ‖ SHA-256 of each batch): identity of evidence, free of signatures.
    function digestOf(IEvidence.ExcursionEvidence calldata evidence) internal view returns (bytes32) {
        uint256 batchCount = evidence.batches.length;
        (uint256 preimage, uint256 digests) = _allocate(
            deviceOf(evidence.x, evidence.y),
            batchCount,
            evidence.channel
        );
        for (uint256 i = 0; i < batchCount; ++i) {
            uint256 size = _writeBatch(_headerOf(evidence.batches[i]), preimage);
            _setDigest(digests, i, Sha256.digest(preimage + BATCH_AT, size));
        }
        return _keccak(digests, batchCount);
    }

    /// @notice Reverts with the reason when `device`, which is SHA-256(x ‖ y), has not signed the batch, or forbids its
    /// use as evidence. `digest` is the batch's.
    function verifyBatch(
        IEvidence.SealedBatch calldata batch,
        bytes32 device,
        bytes32 x,
        bytes32 y
    ) internal view returns (bytes32 digest) {
        _requireUnflagged(batch);
        (uint256 preimage, ) = _allocate(device, 0, 0);
        return _requireSignature(batch, x, y, preimage);
    }

    /// @notice SHA-256(x ‖ y).
    function deviceOf(bytes32 x, bytes32 y) internal view returns (bytes32) {
        uint256 cursor;
        assembly ("memory-safe") {
            cursor := mload(0x40)
            mstore(cursor, x)
            mstore(add(cursor, 0x20), y)
        }
        return Sha256.digest(cursor, 64);
    }

    /// The preimage with all that is the same for each batch, and the room for channel ‖ digests.
    function _allocate(
        bytes32 device,
        uint256 batchCount,
        uint8 channel
    ) private pure returns (uint256 preimage, uint256 digests) {
        assembly ("memory-safe") {
            preimage := mload(0x40)
            digests := add(preimage, PREIMAGE_SIZE)
            mstore(0x40, add(digests, and(add(mul(batchCount, 0x20), 0x3f), not(0x1f))))
            mstore(preimage, PREFIX_HEAD)
            mstore(add(preimage, 0x20), PREFIX_TAIL)
            mstore(add(preimage, DEVICE_AT), device)
            mstore8(digests, channel)
        }
    }

    function _digestAt(uint256 digests, uint256 i) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := mload(add(add(digests, 1), mul(i, 0x20)))
        }
    }

    function _setDigest(uint256 digests, uint256 i, bytes32 digest) private pure {
        assembly ("memory-safe") {
            mstore(add(add(digests, 1), mul(i, 0x20)), digest)
        }
    }

    function _keccak(uint256 digests, uint256 batchCount) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            result := keccak256(digests, add(1, mul(batchCount, 0x20)))
        }
    }

    /// Writes the batch behind the device in the preimage, and its length before it. Returns that length in bytes.
    function _writeBatch(IEvidence.SealedBatch calldata batch, uint256 preimage) private pure returns (uint256 size) {
        uint256 cursor = preimage + SEQUENCE_AT;
        cursor = Cbor.writeUint(cursor, batch.sequence);
        cursor = Cbor.writeDigest(cursor, batch.previous);
        cursor = Cbor.writeUint(cursor, batch.first);
        cursor = Cbor.writeUint(cursor, batch.last);
        cursor = Cbor.writeUint(cursor, batch.seriesCount);
        cursor = Cbor.writeDigest(cursor, batch.root);
        cursor = Cbor.writeUint(cursor, batch.flags);
        size = cursor - preimage - BATCH_AT;
        assembly ("memory-safe") {
            mstore8(add(preimage, LENGTH_AT), size)
        }
    }

    /// A SealedSeries begins with the fields of a SealedBatch, each in a word of its own: it is one, where it lies.
    function _headerOf(
        IEvidence.SealedSeries calldata series
    ) private pure returns (IEvidence.SealedBatch calldata batch) {
        assembly ("memory-safe") {
            batch := series
        }
    }

    function _requireUnflagged(IEvidence.SealedBatch calldata batch) private pure {
        if (batch.flags & CRITICAL_FLAGS != 0) revert IEvidence.BatchFlagged(batch.sequence, batch.flags);
    }

    function _requireContiguous(
        IEvidence.SealedSeries calldata batch,
        uint32 sequenceBefore,
        bytes32 digestBefore
    ) private pure {
        if (uint256(batch.sequence) != uint256(sequenceBefore) + 1 || batch.previous != digestBefore) {
            revert IEvidence.BatchNotContiguous(batch.sequence, batch.previous, sequenceBefore, digestBefore);
        }
    }

    /// The channel's series is whole, unmarked, and a leaf under the batch's root.
    function _requireSeries(
        IEvidence.SealedSeries calldata batch,
        bytes calldata samples,
        uint8 channel
    ) private view {
        if (batch.marks != 0) revert IEvidence.SeriesMarked(batch.sequence, batch.marks);
        uint256 size = samples.length;
        if (size == 0 || size % SAMPLE_BYTES != 0) revert IEvidence.SamplesMalformed(batch.sequence, size);
        bytes32 leaf = _leafHash(channel, samples);
        if (!Inclusion.verify(leaf, batch.leafIndex, batch.seriesCount, batch.path, batch.root)) {
            revert IEvidence.SeriesNotInBatch(batch.sequence, batch.root);
        }
    }

    /// SHA-256(0x00 ‖ [channel, marks 0, samples]), in memory behind the free pointer, which stays where it is.
    function _leafHash(uint8 channel, bytes calldata samples) private view returns (bytes32) {
        uint256 start;
        assembly ("memory-safe") {
            start := mload(0x40)
            mstore(start, shl(240, 0x0083))
        }
        uint256 cursor = Cbor.writeUint(start + 2, channel);
        cursor = Cbor.writeUint(cursor, 0);
        cursor = Cbor.writeHead(cursor, Cbor.BYTE_STRING, samples.length);
        assembly ("memory-safe") {
            calldatacopy(cursor, samples.offset, samples.length)
        }
        return Sha256.digest(start, cursor + samples.length - start);
    }

    /// Returns the batch's digest.
    function _requireSignature(
        IEvidence.SealedBatch calldata batch,
        bytes32 x,
        bytes32 y,
        uint256 preimage
    ) private view returns (bytes32 digest) {
        uint256 size = _writeBatch(batch, preimage);
        digest = Sha256.digest(preimage + BATCH_AT, size);
        if (uint256(batch.s) > HALF_ORDER) revert IEvidence.SignatureNotLowS(batch.sequence, batch.s);
        bytes32 message = Sha256.digest(preimage, BATCH_AT + size);
        if (!P256.verify(message, batch.r, batch.s, x, y)) revert IEvidence.SignatureInvalid(batch.sequence, digest);
    }

    /// Takes the batch's samples into the run: `skip` of the first batch are only counted for time. Nothing here
    /// overflows: a time is 32 bits and a sum of 16-bit deltas, and `left` is never less than what is taken from it.
    function _walk(
        Run memory run,
        Claim memory claim,
        bytes calldata samples,
        uint256 timeAt,
        uint256 batchIndex
    ) private pure {
        uint256 count = samples.length / SAMPLE_BYTES;
        uint256 skip = run.skip;
        if (run.left == 0 || skip >= count) revert IEvidence.RunMalformed(batchIndex, run.left, skip);
        unchecked {
            for (uint256 i = 0; i < skip; ++i) timeAt += _sampleAt(_addressOf(samples, i)) >> 16;
            count -= skip;
            if (run.left < count) count = run.left;
            run.left -= count;
            run.skip = 0;
            uint256 cursor = _addressOf(samples, skip);
            uint256 sample = _sampleAt(cursor);
            timeAt += sample >> 16;
            if (run.startedAt == 0) {
                if (timeAt < claim.dispatchedAt) revert IEvidence.SampleBeforeDispatch(timeAt, claim.dispatchedAt);
                run.startedAt = timeAt;
                run.peakCentiC = _valueOf(sample);
            } else if (timeAt <= run.lastAt || timeAt - run.lastAt > claim.terms.sampleGapSecMax) {
                // Samples that run backwards, across two batches, are no run either.
                revert IEvidence.SampleGapTooLong(timeAt, run.lastAt, claim.terms.sampleGapSecMax);
            }
            _walkOutside(run, claim.terms, cursor, count, timeAt);
        }
    }

    /// The `count` samples from calldata address `cursor` on, the first of them at `timeAt` and in time. A run is all
    /// too warm or all too cold; its first sample, the peak so far, says which. `turn` maps 16-bit values to unsigned
    /// numbers that grow away from the limit, so that on both sides a sample is outside from `least` to `most`, and the
    /// largest is the peak. `most` leaves the fault value out.
    function _walkOutside(
        Run memory run,
        IEvidence.ExcursionTerms memory terms,
        uint256 cursor,
        uint256 count,
        uint256 timeAt
    ) private pure {
        bool isWarm = run.peakCentiC >= terms.upperLimitCentiC;
        uint256 turn = isWarm ? 0x8000 : 0x7fff;
        uint256 least = _turn(isWarm ? terms.upperLimitCentiC : terms.lowerLimitCentiC, turn);
        uint256 most = isWarm ? 0xffff : 0xfffe;
        uint256 peak = _turn(run.peakCentiC, turn);
        uint256 gapSecMax = terms.sampleGapSecMax;
        uint256 sample;
        // In assembly, and a function with `leave`, which the compiler does not inline: its own loop takes more than
        // twice the gas.
        assembly ("memory-safe") {
            function walk(at, past, turn_, least_, most_, gapMax, peak_, time_) -> peakOut, timeOut, refused {
                peakOut := peak_
                timeOut := time_
                // The first one's gap has been judged by the caller: it is taken for one second.
                refused := or(and(shr(224, calldataload(at)), 0xffff), 0x10000)
                let gap := 1
                for {} 1 {} {
                    let turned := and(xor(refused, turn_), 0xffff)
                    // A gap of zero wraps round to the largest number.
                    if or(or(lt(turned, least_), gt(turned, most_)), iszero(lt(sub(gap, 1), gapMax))) {
                        leave
                    }
                    if gt(turned, peakOut) {
                        peakOut := turned
                    }
                    at := add(at, SAMPLE_BYTES)
                    if eq(at, past) {
                        refused := NO_SAMPLE
                        leave
                    }
                    refused := shr(224, calldataload(at))
                    gap := shr(16, refused)
                    timeOut := add(timeOut, gap)
                }
            }
            let past := add(cursor, mul(count, SAMPLE_BYTES))
            peak, timeAt, sample := walk(cursor, past, turn, least, most, gapSecMax, peak, timeAt)
        }
        if (sample != NO_SAMPLE) _refuseSample(sample, timeAt, gapSecMax);
        run.lastAt = timeAt;
        run.peakCentiC = int16(uint16(peak ^ turn));
    }

    function _turn(int256 valueCentiC, uint256 turn) private pure returns (uint256) {
        return uint16(int16(valueCentiC)) ^ turn;
    }

    /// The first reason that holds, in the order of wire/WIRE.md.
    function _refuseSample(uint256 sample, uint256 timeAt, uint256 gapSecMax) private pure {
        uint256 gapSec = sample >> 16;
        if (gapSec == 0 || gapSec > gapSecMax) {
            revert IEvidence.SampleGapTooLong(timeAt, timeAt - gapSec, uint16(gapSecMax));
        }
        if (_valueOf(sample) == FAULT) revert IEvidence.SampleFaulty(timeAt);
        revert IEvidence.SampleWithinLimits(timeAt, int16(_valueOf(sample)));
    }

    function _addressOf(bytes calldata samples, uint256 i) private pure returns (uint256 cursor) {
        assembly ("memory-safe") {
            cursor := add(samples.offset, mul(i, SAMPLE_BYTES))
        }
    }

    /// Delta seconds in the upper, value in the lower 16 bits.
    function _sampleAt(uint256 cursor) private pure returns (uint256 sample) {
        assembly ("memory-safe") {
            sample := shr(224, calldataload(cursor))
        }
    }

    function _valueOf(uint256 sample) private pure returns (int256) {
        return int16(uint16(sample));
    }

    function _end(Run memory run, Claim memory claim) private pure returns (IEvidence.Excursion memory) {
        if (run.lastAt > claim.nowAt) revert IEvidence.SampleInFuture(run.lastAt, claim.nowAt);
        uint256 durationSec = run.lastAt - run.startedAt;
        if (durationSec < claim.terms.excursionSecMin) {
            revert IEvidence.RunTooShort(durationSec, claim.terms.excursionSecMin);
        }
        // Block times are 32 bits until 2106 (unixSecMax of wire/limits.ts), and the run ends before the present.
        return IEvidence.Excursion(uint32(run.startedAt), uint32(durationSec), int16(run.peakCentiC));
    }
}
