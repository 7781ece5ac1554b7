// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {CryptletConsumer} from "../CryptletConsumer.sol";
import {IEvidence} from "../interfaces/IEvidence.sol";
import {IOracleSet} from "../interfaces/IOracleSet.sol";
import {IShipments} from "../interfaces/IShipments.sol";

/// @notice A consumer that does what it is told to with a report, bound as an order's terms say.
contract ConsumerProbe is CryptletConsumer {
    enum Mood {
        Storing,
        Reverting,
        RevertingLong,
        BurningAllGas
    }

    Mood public mood;
    mapping(uint256 subject => bytes32) public latest;

    error BadMood(uint256 subject);

    constructor(IOracleSet oracles_, IShipments shipments_) CryptletConsumer(oracles_, shipments_) {}

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function requireProved(uint256 orderId) external view returns (IShipments.Order memory) {
        return _requireProved(orderId);
    }

    function requireProvedBy(
        uint256 orderId,
        IEvidence.ExcursionEvidence calldata evidence
    ) external view returns (IEvidence.Excursion memory) {
        return _requireProved(orderId, evidence);
    }

    function _apply(Report calldata report, bytes32) internal override {
        latest[report.subject] = bytes32(report.payload);
        if (mood == Mood.Reverting) revert BadMood(report.subject);
        if (mood == Mood.Storing) return;
        bool isLong = mood == Mood.RevertingLong;
        assembly ("memory-safe") {
            if isLong {
                revert(0x1000, 100000)
            }
            invalid()
        }
    }
}

/// @notice The least that a consumer is: one cryptlet of its own, and the latest payload of each subject.
contract LatestReport is CryptletConsumer {
    bytes32 public immutable cryptlet;
    mapping(uint256 subject => bytes32) public latest;

    constructor(
        IOracleSet oracles_,
        IShipments shipments_,
        bytes32 cryptlet_
    ) CryptletConsumer(oracles_, shipments_) {
        cryptlet = cryptlet_;
    }

    function _apply(Report calldata report, bytes32) internal override {
        latest[report.subject] = bytes32(report.payload);
    }

    function _isBound(Report calldata report) internal view override returns (bool) {
        return report.cryptlet == cryptlet;
    }
}
