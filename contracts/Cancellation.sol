// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Aftermath} from "./Aftermath.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @notice Cancelling an order and replacing it: at once, or, when the breaker has tripped, after two approvers or
/// three days. Approvers can only hasten; nobody can deny a fact.
abstract contract Cancellation is Aftermath, AccessManaged {
    /// Times of 32 bits in a word.
    uint256 private constant BREAKER_COUNT_MAX = 8;
    uint256 private constant BREAKER_SEC_MIN = 1 hours;
    uint256 private constant BREAKER_SEC_MAX = 30 days;

    /// When the last eight orders of a carrier were cancelled at once, Unix seconds, 32 bits each, the newest lowest.
    /// By carrier, so that nobody trips another's.
    mapping(address carrier => uint256) private _cancelledAt;

    /// @inheritdoc IShipments
    function setBreaker(uint8 countMax, uint32 windowSec) external restricted {
        bool isInRange = countMax > 0 &&
            countMax <= BREAKER_COUNT_MAX &&
            windowSec >= BREAKER_SEC_MIN &&
            windowSec <= BREAKER_SEC_MAX;
        if (!isInRange) revert BreakerOutOfRange(countMax, windowSec);
        _breakerCountMax = countMax;
        _breakerWindowSec = windowSec;
        emit BreakerSet(countMax, windowSec);
    }

    /// @inheritdoc IShipments
    function breaker() external view returns (uint8 countMax, uint32 windowSec) {
        return (_breakerCountMax, _breakerWindowSec);
    }

    /// @inheritdoc IShipments
    function approveHeld(uint256 orderId) external restricted nonReentrant returns (uint256 replacementId) {
        Record storage record = _requireState(orderId, OrderState.Held);
        address first = record.approver;
        if (first == msg.sender) revert ApproverNotDistinct(orderId, first);
        emit HeldApproved(orderId, msg.sender);
        if (first != address(0)) return _cancelAndRequest(orderId, record, _termsOf(record));
        record.approver = msg.sender;
    }

    /// @inheritdoc IShipments
    function applyHeld(uint256 orderId) external nonReentrant returns (uint256 replacementId) {
        Record storage record = _requireState(orderId, OrderState.Held);
        IAgreements.Terms memory terms = _termsOf(record);
        _requirePassed(orderId, record, terms);
        return _cancelAndRequest(orderId, record, terms);
    }

    /// Cancels by the fact in the record, or holds it.
    function _cancelOrHold(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms
    ) internal returns (uint256 replacementId) {
        if (_passBreaker(terms.carrier)) return _cancelAndRequest(orderId, record, terms);
        record.state = OrderState.Held;
        record.suspendedAt = uint32(block.timestamp);
        emit OrderHeld(orderId, record.evidenceDigest, record.cause, msg.sender);
    }

    /// The escrow goes to one new order with the next supplier, or back to the buyer's credit; no token moves.
    function _cancel(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms
    ) internal returns (uint256 replacementId) {
        record.state = OrderState.Cancelled;
        emit OrderCancelled(orderId, record.evidenceDigest, record.cause, msg.sender);
        uint256 next = uint256(record.supplierIndex) + 1;
        if (next == terms.suppliers.length || record.reorderCount == terms.reorderCountMax) {
            _creditBuyer(orderId, terms, terms.price);
            return 0;
        }
        uint48 opened = _open({
            agreementId: record.agreementId,
            supplierIndex: uint8(next),
            reorderCount: record.reorderCount + 1,
            replacementOf: uint48(orderId)
        });
        record.replacementId = opened;
        replacementId = opened;
        emit OrderReplaced(orderId, replacementId, terms.suppliers[next]);
    }

    function _cancelAndRequest(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms
    ) private returns (uint256 replacementId) {
        replacementId = _cancel(orderId, record, terms);
        _requestAll(orderId, record, terms);
    }

    /// Whether one more of the carrier's orders may be cancelled at once; if so it is counted.
    function _passBreaker(address carrier) private returns (bool) {
        uint256 times = _cancelledAt[carrier];
        uint256 oldestAt = uint32(times >> (32 * (uint256(_breakerCountMax) - 1)));
        if (block.timestamp <= oldestAt + _breakerWindowSec) return false;
        _cancelledAt[carrier] = (times << 32) | uint32(block.timestamp);
        return true;
    }
}
