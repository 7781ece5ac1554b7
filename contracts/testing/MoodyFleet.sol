// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Fleet} from "../Fleet.sol";

/// @notice A Fleet whose openTicket does what it is told to: the side effect that must not stop a cancellation.
contract MoodyFleet is Fleet {
    enum Mood {
        Honest,
        Reverting,
        BurningAllGas,
        AnsweringNothing,
        AnsweringTooMuch,
        AnsweringTheImpossible
    }

    Mood public mood;

    error BadMood();

    constructor(address authority) Fleet(authority) {}

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function openTicket(
        bytes32 truck,
        uint64 orderId,
        bytes32 evidenceDigest
    ) external override returns (uint256) {
        if (mood == Mood.Honest) return _openTicket(truck, orderId, evidenceDigest);
        if (mood == Mood.Reverting) revert BadMood();
        if (mood == Mood.BurningAllGas) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        uint256 size = mood == Mood.AnsweringTooMuch ? 100_000 : mood == Mood.AnsweringTheImpossible ? 32 : 0;
        assembly {
            mstore(0x00, not(0))
            return(0x00, size)
        }
    }
}
