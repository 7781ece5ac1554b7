// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Evidence} from "./Evidence.sol";
import {IEvidence} from "./interfaces/IEvidence.sol";

/// @notice Sums separate runs of samples outside the limits of one channel, warm and cold ones alike. The mirror of
/// wire/cumulative.ts: the same checks in the same order.
library Cumulative {
    /// Bounds the work of one transaction, and with it what a report can cost.
    uint256 internal constant RUN_COUNT_MAX = 32;
    bytes32 private constant KIND = keccak256("coldproof v1 cumulative");

    /// @notice Reverts with the reason when the runs do not prove that the channel was outside its limits for at least
    /// `cumulativeSecMin` seconds in all. A run may be as short as one sample, which lasts 0 seconds; the claim's own
    /// excursionSecMin is taken for 0.
    /// @return excursion the first run's start, the summed duration, and the peak farthest outside the limits
    /// @return endedAt Unix seconds of the last run's last sample. The runs lie apart, so this is later than
    /// startedAt + durationSec: a device must be valid until here
    /// @return digest identity of the evidence
    function verify(
        IEvidence.ExcursionEvidence[] calldata runs,
        Evidence.Claim memory claim,
        uint32 cumulativeSecMin
    ) internal view returns (IEvidence.Excursion memory excursion, uint256 endedAt, bytes32 digest) {
        _requireCount(runs);
        claim.terms.excursionSecMin = 0;
        digest = KIND;
        uint256 totalSec = 0;
        for (uint256 i = 0; i < runs.length; ++i) {
            (IEvidence.Excursion memory run, bytes32 runDigest) = Evidence.verify(runs[i], claim);
            if (i == 0) {
                excursion = run;
            } else {
                if (run.startedAt <= endedAt) revert IEvidence.RunsNotInOrder(i, run.startedAt, endedAt);
                if (_beyond(run.peakCentiC, claim.terms) > _beyond(excursion.peakCentiC, claim.terms)) {
                    excursion.peakCentiC = run.peakCentiC;
                }
            }
            totalSec += run.durationSec;
            endedAt = uint256(run.startedAt) + run.durationSec;
            digest = _append(digest, runDigest, runs[i]);
        }
        if (totalSec < cumulativeSecMin) revert IEvidence.CumulativeTooShort(totalSec, cumulativeSecMin);
        // Runs that do not overlap last no longer than the 32 bits of time that they lie in.
        excursion.durationSec = uint32(totalSec);
    }

    /// @notice Identity of cumulative evidence, free of signatures: of this kind, and of just these samples, since two
    /// runs of one batch differ in nothing else. h0 = keccak256("coldproof v1 cumulative"), and for each run
    /// h = keccak256(h ‖ the run's own digest ‖ skip ‖ count), skip and count of 2 bytes each.
    function digestOf(IEvidence.ExcursionEvidence[] calldata runs) internal view returns (bytes32 digest) {
        _requireCount(runs);
        digest = KIND;
        for (uint256 i = 0; i < runs.length; ++i) digest = _append(digest, Evidence.digestOf(runs[i]), runs[i]);
    }

    function _requireCount(IEvidence.ExcursionEvidence[] calldata runs) private pure {
        if (runs.length == 0 || runs.length > RUN_COUNT_MAX) {
            revert IEvidence.RunCountOutOfRange(runs.length, RUN_COUNT_MAX);
        }
    }

    function _append(
        bytes32 digest,
        bytes32 runDigest,
        IEvidence.ExcursionEvidence calldata run
    ) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(digest, runDigest, run.skip, run.count));
    }

    /// Centi-degrees from the limit that the peak of a run is beyond.
    function _beyond(int256 peakCentiC, IEvidence.ExcursionTerms memory terms) private pure returns (int256) {
        if (peakCentiC >= terms.upperLimitCentiC) return peakCentiC - terms.upperLimitCentiC;
        return terms.lowerLimitCentiC - peakCentiC;
    }
}
