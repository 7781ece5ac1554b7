// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Fleet} from "../Fleet.sol";
import {ISilence} from "../interfaces/ISilence.sol";

/// @notice A Fleet that, asked for the repair of a silent order's truck, declares the breach once more.
contract RelapsingFleet is Fleet {
    ISilence public silence;
    /// @notice Selector of the error that it was refused with.
    bytes4 public refusal;

    constructor(address authority) Fleet(authority) {}

    function setSilence(ISilence silence_) external {
        silence = silence_;
    }

    function openTicket(
        bytes32 truck,
        uint64 orderId,
        bytes32 evidenceDigest
    ) external override returns (uint256) {
        try silence.declareBreach(orderId) returns (uint256) {} catch (bytes memory reason) {
            refusal = bytes4(reason);
        }
        return _openTicket(truck, orderId, evidenceDigest);
    }
}
