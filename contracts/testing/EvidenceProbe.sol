// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Evidence} from "../Evidence.sol";
import {Inclusion} from "../Inclusion.sol";
import {IEvidence} from "../interfaces/IEvidence.sol";

/// @notice The stateless libraries behind a call, so that a test can hold them against wire/ with any claim.
contract EvidenceProbe is IEvidence {
    /// @notice Evidence.verify. Times are Unix seconds.
    function verify(
        ExcursionEvidence calldata evidence,
        ExcursionTerms calldata terms,
        bytes32 device,
        uint256 dispatchedAt,
        uint256 nowAt
    ) external view returns (Excursion memory excursion, bytes32 digest) {
        return Evidence.verify(evidence, Evidence.Claim(device, dispatchedAt, nowAt, terms));
    }

    /// @notice Inclusion.verify.
    function verifyInclusion(
        bytes32 leaf,
        uint256 index,
        uint256 size,
        bytes32[] calldata path,
        bytes32 root
    ) external view returns (bool) {
        return Inclusion.verify(leaf, index, size, path, root);
    }
}
