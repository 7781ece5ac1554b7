// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "../interfaces/IQuorum.sol";

/// @notice In place of the oracles and of the registry of cryptlets: any program is known, any report is signed.
contract ObligingOracles is IQuorum {
    function isActive(bytes32) external pure returns (bool) {
        return true;
    }

    function verify(Report calldata report, bytes[] calldata) external pure returns (bytes32 digest) {
        return keccak256(abi.encode(report));
    }
}
