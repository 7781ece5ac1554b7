// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleSet} from "../interfaces/IOracleSet.sol";

/// @notice Asks an OracleSet many times in one call, for a test that asks thousands of times.
contract QuorumProbe {
    /// @notice Tries each set of signatures over one head of a log. Zero for accepted, or the selector of the refusal.
    function verifyEach(
        IOracleSet oracles,
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[][] calldata signatures
    ) external view returns (bytes4[] memory refusals) {
        refusals = new bytes4[](signatures.length);
        for (uint256 i = 0; i < signatures.length; ++i) {
            try oracles.verifyCheckpoint(origin, size, root, signatures[i]) returns (bytes32) {} catch (
                bytes memory refusal
            ) {
                refusals[i] = bytes4(refusal);
            }
        }
    }
}
