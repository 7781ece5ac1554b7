// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice A cover that does what it is told to when an order asks for it: the side effect that must not stop anything.
contract MoodyCover {
    enum Mood {
        Honest,
        Reverting,
        BurningAllGas,
        AnsweringTooMuch,
        CallingBack
    }

    Mood public mood;
    uint256 public requestCount;
    /// What its call back was answered with.
    bytes4 public answer;
    bytes private _request;

    error BadMood();

    function setMood(Mood mood_, bytes calldata request) external {
        mood = mood_;
        _request = request;
    }

    function onExcursion(uint256, bytes32) external {
        if (mood == Mood.Reverting) revert BadMood();
        if (mood == Mood.BurningAllGas) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        requestCount += 1;
        if (mood == Mood.CallingBack) {
            (, bytes memory answered) = msg.sender.call(_request);
            answer = bytes4(answered);
        }
        if (mood != Mood.AnsweringTooMuch) return;
        assembly {
            return(0x00, 100000)
        }
    }
}
