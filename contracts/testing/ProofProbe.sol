// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Consistency} from "../Consistency.sol";
import {Cumulative} from "../Cumulative.sol";
import {Evidence} from "../Evidence.sol";
import {Heartbeat} from "../Heartbeat.sol";
import {IHeartbeat} from "../interfaces/IHeartbeat.sol";

/// @notice More of the stateless libraries behind calls. EvidenceProbe has Evidence alone, whose gas is measured there.
contract ProofProbe is IHeartbeat {
    struct Signature {
        /// SHA-256 of what is signed.
        bytes32 message;
        bytes32 r;
        bytes32 s;
        bytes32 x;
        bytes32 y;
    }

    struct ConsistencyProof {
        uint256 first;
        uint256 second;
        bytes32 firstRoot;
        bytes32 secondRoot;
        bytes32[] path;
    }

    /// @notice Cumulative.verify. Times are Unix seconds.
    function verifyCumulative(
        ExcursionEvidence[] calldata runs,
        ExcursionTerms calldata terms,
        bytes32 device,
        uint256 dispatchedAt,
        uint256 nowAt,
        uint32 cumulativeSecMin
    ) external view returns (Excursion memory excursion, uint256 endedAt, bytes32 digest) {
        return Cumulative.verify(runs, Evidence.Claim(device, dispatchedAt, nowAt, terms), cumulativeSecMin);
    }

    /// @notice Cumulative.digestOf.
    function digestCumulative(ExcursionEvidence[] calldata runs) external view returns (bytes32) {
        return Cumulative.digestOf(runs);
    }

    /// @notice Heartbeat.verify.
    function verifyHeartbeat(
        HeartbeatProof calldata proof,
        bytes32 device
    ) external view returns (uint32 lastAt, bytes32 digest) {
        return Heartbeat.verify(proof, device);
    }

    /// @notice Consistency.verify, once for each: many in one call, for tests that ask thousands of times.
    function verifyConsistency(ConsistencyProof[] calldata proofs) external view returns (bool[] memory verdicts) {
        verdicts = new bool[](proofs.length);
        for (uint256 i = 0; i < proofs.length; ++i) {
            ConsistencyProof calldata each = proofs[i];
            verdicts[i] = Consistency.verify(each.first, each.second, each.firstRoot, each.secondRoot, each.path);
        }
    }

    /// @notice The check of device signatures, likewise.
    function verifySignatures(Signature[] calldata signatures) external view returns (bool[] memory verdicts) {
        verdicts = new bool[](signatures.length);
        for (uint256 i = 0; i < signatures.length; ++i) {
            Signature calldata each = signatures[i];
            verdicts[i] = P256.verify(each.message, each.r, each.s, each.x, each.y);
        }
    }
}
