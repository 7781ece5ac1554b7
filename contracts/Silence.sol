// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Heartbeat} from "./Heartbeat.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {IShipments} from "./interfaces/IShipments.sol";
import {ISilence} from "./interfaces/ISilence.sol";

/// @title Devices that have fallen silent
/// @notice ISilence is the document of this contract.
/// @dev It holds no state of its own about the end of an order: a breach is what Shipments has concluded from it, so
/// that neither can be ahead of the other.
contract Silence is ISilence {
    /// What came before the order's judgedFrom counts no more, so a released order starts anew without being told.
    struct Record {
        uint32 seenAt;
        uint32 unmonitoredAt;
    }

    /// @inheritdoc ISilence
    IShipments public immutable shipments;
    IAgreements private immutable _agreements;
    IDeviceRegistry private immutable _registry;

    mapping(uint256 orderId => Record) private _records;

    constructor(IShipments shipments_) {
        shipments = shipments_;
        _agreements = shipments_.agreements();
        _registry = shipments_.registry();
    }

    /// @inheritdoc ISilence
    function proveHeartbeat(uint256 orderId, HeartbeatProof calldata proof) external {
        (bytes32 device, , Watch memory watch) = _require(orderId, State.Monitored);
        if (proof.batch.last <= watch.seenAt) revert HeartbeatNotNewer(orderId, proof.batch.last, watch.seenAt);
        bytes32 digest = _verify(orderId, device, proof);
        _records[orderId].seenAt = proof.batch.last;
        emit HeartbeatProved(orderId, digest, proof.batch.last);
    }

    /// @inheritdoc ISilence
    function reportSilence(uint256 orderId) external {
        (bytes32 device, IAgreements.SilenceTerms memory terms, Watch memory watch) = _require(
            orderId,
            State.Monitored
        );
        if (block.timestamp <= watch.deadlineAt) revert SilenceTooShort(orderId, watch.deadlineAt, block.timestamp);
        uint32 unmonitoredAt = uint32(block.timestamp);
        _records[orderId].unmonitoredAt = unmonitoredAt;
        uint256 challengeUntil = uint256(unmonitoredAt) + terms.challengeSecMax;
        emit SilenceReported(orderId, device, watch.seenAt, unmonitoredAt, challengeUntil, msg.sender);
    }

    /// @inheritdoc ISilence
    function disprove(uint256 orderId, HeartbeatProof calldata proof) external {
        (bytes32 device, IAgreements.SilenceTerms memory terms, Watch memory watch) = _require(
            orderId,
            State.Unmonitored
        );
        if (block.timestamp > watch.deadlineAt) revert ChallengeOver(orderId, watch.deadlineAt, block.timestamp);
        // Not negative: the report came more than silenceSecMax after a time of the chain.
        uint256 lastAtMin = uint256(watch.unmonitoredAt) - terms.silenceSecMax;
        if (proof.batch.last < lastAtMin) revert HeartbeatTooOld(orderId, proof.batch.last, lastAtMin);
        bytes32 digest = _verify(orderId, device, proof);
        _records[orderId] = Record({seenAt: proof.batch.last, unmonitoredAt: 0});
        emit SilenceDisproved(orderId, digest, proof.batch.last);
    }

    /// @inheritdoc ISilence
    function declareBreach(uint256 orderId) external returns (uint256 replacementId) {
        (, , Watch memory watch) = _require(orderId, State.Unmonitored);
        if (block.timestamp <= watch.deadlineAt) revert ChallengeNotOver(orderId, watch.deadlineAt, block.timestamp);
        bytes32 factDigest = _digestOf(orderId, watch.seenAt, watch.unmonitoredAt);
        emit SilenceBreached(orderId, factDigest, watch.seenAt, watch.unmonitoredAt, msg.sender);
        return shipments.conclude(orderId, factDigest, IShipments.Cause.Silence);
    }

    /// @inheritdoc ISilence
    function watchOf(uint256 orderId) external view returns (Watch memory watch) {
        IShipments.Order memory order = shipments.order(orderId);
        if (order.state == IShipments.OrderState.None) return watch;
        IAgreements.SilenceTerms memory terms = _agreements.termsOf(order.agreementId).silence;
        if (terms.monitor != address(this)) return watch;
        if (order.state == IShipments.OrderState.InTransit) return _watch(orderId, order, terms);
        Record memory record = _records[orderId];
        uint32 seenAt = _later(record.seenAt, order.judgedFrom);
        bool isBreached = order.cause == IShipments.Cause.Silence &&
            order.evidenceDigest == _digestOf(orderId, seenAt, record.unmonitoredAt);
        if (isBreached) return Watch(State.Breached, seenAt, record.unmonitoredAt, 0);
    }

    /// An order in transit that is watched here, and in that state.
    function _require(
        uint256 orderId,
        State want
    ) private view returns (bytes32 device, IAgreements.SilenceTerms memory terms, Watch memory watch) {
        IShipments.Order memory order = shipments.order(orderId);
        if (order.state != IShipments.OrderState.InTransit) revert OrderNotInTransit(orderId, order.state);
        terms = _agreements.termsOf(order.agreementId).silence;
        if (terms.monitor != address(this)) revert MonitorNot(orderId, terms.monitor);
        watch = _watch(orderId, order, terms);
        if (watch.state != want) revert SilenceStateNot(orderId, watch.state, want);
        return (order.device, terms, watch);
    }

    function _watch(
        uint256 orderId,
        IShipments.Order memory order,
        IAgreements.SilenceTerms memory terms
    ) private view returns (Watch memory) {
        Record memory record = _records[orderId];
        uint32 seenAt = _later(record.seenAt, order.judgedFrom);
        // A report in the very second of a release was before it: after it, the device was not silent for any time.
        if (record.unmonitoredAt <= order.judgedFrom) {
            return Watch(State.Monitored, seenAt, 0, uint256(seenAt) + terms.silenceSecMax);
        }
        uint256 challengeUntil = uint256(record.unmonitoredAt) + terms.challengeSecMax;
        return Watch(State.Unmonitored, seenAt, record.unmonitoredAt, challengeUntil);
    }

    /// Reverts with the reason when the batch is no sign of life of a device that is to be believed. Returns its
    /// digest.
    function _verify(
        uint256 orderId,
        bytes32 device,
        HeartbeatProof calldata proof
    ) private view returns (bytes32 digest) {
        uint32 lastAt = proof.batch.last;
        if (lastAt > block.timestamp) revert HeartbeatInFuture(orderId, lastAt, block.timestamp);
        if (!_registry.isValidDuring(device, lastAt, lastAt)) revert DeviceNotValid(device, lastAt);
        (, digest) = Heartbeat.verify(proof, device);
    }

    function _digestOf(uint256 orderId, uint32 seenAt, uint32 unmonitoredAt) private view returns (bytes32) {
        return
            keccak256(
                abi.encode("coldproof v1 silence", block.chainid, address(this), orderId, seenAt, unmonitoredAt)
            );
    }

    function _later(uint32 a, uint32 b) private pure returns (uint32) {
        return a > b ? a : b;
    }
}
