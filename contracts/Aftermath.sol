// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OrderBook} from "./OrderBook.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {ICargoCover} from "./interfaces/ICargoCover.sol";
import {IFleet} from "./interfaces/IFleet.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @notice What others are asked to do once a fact has ended an order or set it aside: the truck's repair, and the
/// cover. Whatever they do, the fact's consequence stands, and anyone may ask them again.
abstract contract Aftermath is OrderBook {
    /// Twice what Fleet.openTicket takes on cold storage, the AccessManager's answer included (gas.json).
    uint256 private constant REPAIR_GAS = 200_000;
    /// Likewise of CargoCover.onExcursion.
    uint256 private constant COVER_GAS = 150_000;

    /// @inheritdoc IShipments
    function requestRepair(uint256 orderId) external nonReentrant returns (uint256 ticketId) {
        Record storage record = _requireConcluded(orderId);
        if (record.ticketId != 0) revert RepairAlreadyRequested(orderId, record.ticketId);
        ticketId = fleet.openTicket(record.truck, uint64(orderId), record.evidenceDigest);
        record.ticketId = uint64(ticketId);
        emit RepairRequested(orderId, record.truck, ticketId);
    }

    /// @inheritdoc IShipments
    function requestCover(uint256 orderId) external nonReentrant {
        Record storage record = _requireConcluded(orderId);
        address cover = _termsOf(record).cover;
        if (!_isCoverDue(cover, record.cause)) revert CoverNotDue(orderId, cover, record.cause);
        if (record.isCoverRequested) revert CoverAlreadyRequested(orderId, cover);
        record.isCoverRequested = true;
        emit CoverRequested(orderId, cover);
        ICargoCover(cover).onExcursion(orderId, record.evidenceDigest);
    }

    /// Asks both, last of all that a move does.
    function _requestAll(uint256 orderId, Record storage record, IAgreements.Terms memory terms) internal {
        bytes32 digest = record.evidenceDigest;
        bytes32 truck = record.truck;
        bytes memory request = abi.encodeCall(IFleet.openTicket, (truck, uint64(orderId), digest));
        (bool isDone, uint256 ticketId) = _tryCall(address(fleet), REPAIR_GAS, request);
        if (!isDone || ticketId > type(uint64).max) ticketId = 0;
        record.ticketId = uint64(ticketId);
        if (ticketId == 0) emit RepairRequestFailed(orderId, truck);
        else emit RepairRequested(orderId, truck, ticketId);

        if (!_isCoverDue(terms.cover, record.cause)) return;
        request = abi.encodeCall(ICargoCover.onExcursion, (orderId, digest));
        (isDone, ) = _tryCall(terms.cover, COVER_GAS, request);
        record.isCoverRequested = isDone;
        if (isDone) emit CoverRequested(orderId, terms.cover);
        else emit CoverRequestFailed(orderId, terms.cover);
    }

    /// A low-level call, because `try` would revert on an answer that does not decode; with gas of its own, so that a
    /// target that burns it all does not stop the rest; and with a floor, so that a caller cannot make it fail by
    /// sending too little (EIP-150 hands on at most 63/64). `answer` is the first word of what came back, 0 when there
    /// is none.
    function _tryCall(
        address target,
        uint256 gas_,
        bytes memory request
    ) private returns (bool isDone, uint256 answer) {
        uint256 gasLeft = gasleft();
        uint256 gasNeeded = (gas_ * 64) / 63 + 3_000;
        if (gasLeft < gasNeeded) revert GasTooLow(gasLeft, gasNeeded);
        assembly ("memory-safe") {
            isDone := call(gas_, target, 0, add(request, 0x20), mload(request), 0x00, 0x20)
            if gt(returndatasize(), 0x1f) {
                answer := mload(0x00)
            }
        }
    }

    function _isCoverDue(address cover, Cause cause) private pure returns (bool) {
        return cover != address(0) && (cause == Cause.Excursion || cause == Cause.CumulativeExcursion);
    }

    function _requireConcluded(uint256 orderId) private view returns (Record storage record) {
        record = _orders[orderId];
        if (record.state != OrderState.Quarantined) _requireState(orderId, OrderState.Cancelled);
    }
}
