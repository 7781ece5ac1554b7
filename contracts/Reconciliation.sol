// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IReconciliation} from "./interfaces/IReconciliation.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Three copies of one order, held against each other before anything moves
/// @notice IReconciliation is the document of this contract.
contract Reconciliation is IReconciliation {
    uint256 private constant FIELD_COUNT = 8;
    uint8 private constant BUYER_MISSING = 1;
    uint8 private constant SUPPLIER_MISSING = 2;
    uint8 private constant CARRIER_MISSING = 4;

    struct Copy {
        /// keccak256 of the fields; zero when there is no copy. Two copies are equal when these are.
        bytes32 digest;
        bytes32[FIELD_COUNT] fields;
    }

    /// @inheritdoc IReconciliation
    IShipments public immutable shipments;

    /// By party, not by role: when one supplier declines, the next one's copy is asked for.
    mapping(uint256 orderId => mapping(address party => Copy)) private _copies;

    constructor(IShipments shipments_) {
        shipments = shipments_;
    }

    /// @inheritdoc IReconciliation
    function submit(uint256 orderId, bytes32[8] calldata copy) external {
        IShipments.Order memory order = shipments.order(orderId);
        if (order.state != IShipments.OrderState.Placed && order.state != IShipments.OrderState.Accepted) {
            revert SubmissionClosed(orderId, order.state);
        }
        if (msg.sender != order.buyer && msg.sender != order.supplier && msg.sender != order.carrier) {
            revert NotParty(orderId, msg.sender);
        }
        Copy storage own = _copies[orderId][msg.sender];
        own.digest = keccak256(abi.encode(copy));
        own.fields = copy;
        emit CopySubmitted(orderId, msg.sender, copy, _differences(orderId, order));
    }

    /// @inheritdoc IReconciliation
    function isReconciled(uint256 orderId) external view returns (bool) {
        IShipments.Order memory order = shipments.order(orderId);
        mapping(address party => Copy) storage copies = _copies[orderId];
        bytes32 digest = copies[order.buyer].digest;
        return digest != 0 && digest == copies[order.supplier].digest && digest == copies[order.carrier].digest;
    }

    /// @inheritdoc IReconciliation
    function differences(uint256 orderId) external view returns (Differences memory) {
        return _differences(orderId, shipments.order(orderId));
    }

    /// @inheritdoc IReconciliation
    function missing(uint256 orderId) external view returns (uint8 parties) {
        IShipments.Order memory order = shipments.order(orderId);
        mapping(address party => Copy) storage copies = _copies[orderId];
        if (copies[order.buyer].digest == 0) parties |= BUYER_MISSING;
        if (copies[order.supplier].digest == 0) parties |= SUPPLIER_MISSING;
        if (copies[order.carrier].digest == 0) parties |= CARRIER_MISSING;
    }

    /// @inheritdoc IReconciliation
    function copyOf(uint256 orderId, address party) external view returns (bytes32[8] memory) {
        return _copies[orderId][party].fields;
    }

    function _differences(
        uint256 orderId,
        IShipments.Order memory order
    ) private view returns (Differences memory) {
        mapping(address party => Copy) storage copies = _copies[orderId];
        Copy storage buyers = copies[order.buyer];
        Copy storage suppliers = copies[order.supplier];
        Copy storage carriers = copies[order.carrier];
        return Differences(_compare(buyers, suppliers), _compare(buyers, carriers), _compare(suppliers, carriers));
    }

    function _compare(Copy storage one, Copy storage other) private view returns (uint8 fields) {
        if (one.digest == 0 || other.digest == 0 || one.digest == other.digest) return 0;
        for (uint256 i = 0; i < FIELD_COUNT; ++i) {
            if (one.fields[i] != other.fields[i]) fields |= uint8(1 << i);
        }
    }
}
