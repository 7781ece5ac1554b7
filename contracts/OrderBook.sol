// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {IFleet} from "./interfaces/IFleet.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @notice The orders themselves, the money credited out of them, and the guards and deadlines that all moves share. It
/// makes no move.
abstract contract OrderBook is IShipments, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// What an Order is kept as. The first slot has all that a new order and a check of evidence touch, but for the
    /// device.
    struct Record {
        OrderState state;
        uint8 supplierIndex;
        uint8 reorderCount;
        uint48 agreementId;
        uint48 replacementOf;
        uint32 placedAt;
        uint32 dispatchedAt;
        uint32 judgedFrom;
        uint32 deliveredAt;
        bytes32 device;
        bytes32 truck;
        bytes32 evidenceDigest;
        Cause cause;
        bool isCoverRequested;
        uint48 replacementId;
        uint64 ticketId;
        uint32 suspendedAt;
        uint32 postponedUntil;
        address approver;
    }

    /// How long approvers can make the order wait that they do not approve of.
    uint256 private constant HOLD_SEC_MAX = 3 days;
    uint256 private constant POSTPONED_SEC_MAX = 30 days;

    /// @inheritdoc IShipments
    IAgreements public immutable agreements;
    /// @inheritdoc IShipments
    IDeviceRegistry public immutable registry;
    /// @inheritdoc IShipments
    IFleet public immutable fleet;
    /// With the breaker's limits (Cancellation) in one slot: a cancellation reads both.
    uint48 private _orderCount;
    uint8 internal _breakerCountMax = 8;
    uint32 internal _breakerWindowSec = 1 days;

    mapping(uint256 orderId => Record) internal _orders;
    mapping(address account => mapping(IERC20 token => uint256)) private _credits;

    constructor(IAgreements agreements_, IDeviceRegistry registry_, IFleet fleet_) {
        agreements = agreements_;
        registry = registry_;
        fleet = fleet_;
    }

    /// @inheritdoc IShipments
    function withdraw(IERC20 token) external nonReentrant returns (uint256 amount) {
        amount = _credits[msg.sender][token];
        if (amount == 0) revert CreditZero(msg.sender, token);
        _credits[msg.sender][token] = 0;
        emit CreditWithdrawn(msg.sender, token, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IShipments
    function order(uint256 orderId) external view returns (Order memory found) {
        Record storage record = _orders[orderId];
        if (record.state == OrderState.None) return found;
        IAgreements.Terms memory terms = _termsOf(record);
        found.state = record.state;
        found.cause = record.cause;
        found.agreementId = record.agreementId;
        found.buyer = terms.buyer;
        found.supplier = terms.suppliers[record.supplierIndex];
        found.carrier = terms.carrier;
        found.device = record.device;
        found.truck = record.truck;
        found.placedAt = record.placedAt;
        found.dispatchedAt = record.dispatchedAt;
        found.judgedFrom = record.judgedFrom;
        found.deliveredAt = record.deliveredAt;
        found.suspendedAt = record.suspendedAt;
        found.postponedUntil = record.postponedUntil;
        found.reorderCount = record.reorderCount;
        found.replacementId = record.replacementId;
        found.replacementOf = record.replacementOf;
        found.evidenceDigest = record.evidenceDigest;
        found.ticketId = record.ticketId;
        found.isCoverRequested = record.isCoverRequested;
        found.approver = record.approver;
    }

    /// @inheritdoc IShipments
    function orderCount() external view returns (uint256) {
        return _orderCount;
    }

    /// @inheritdoc IShipments
    function deadlineOf(uint256 orderId) external view returns (uint256) {
        Record storage record = _orders[orderId];
        return record.state == OrderState.None ? 0 : _deadlineOf(record, _termsOf(record));
    }

    /// @inheritdoc IShipments
    function creditOf(address account, IERC20 token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// A new order under an agreement, placed now.
    function _open(
        uint48 agreementId,
        uint8 supplierIndex,
        uint8 reorderCount,
        uint48 replacementOf
    ) internal returns (uint48 orderId) {
        orderId = ++_orderCount;
        Record storage record = _orders[orderId];
        record.state = OrderState.Placed;
        record.supplierIndex = supplierIndex;
        record.reorderCount = reorderCount;
        record.agreementId = agreementId;
        record.replacementOf = replacementOf;
        record.placedAt = uint32(block.timestamp);
    }

    function _refund(uint256 orderId, Record storage record, IAgreements.Terms memory terms) internal {
        record.state = OrderState.Refunded;
        _creditBuyer(orderId, terms, terms.price);
    }

    function _creditBuyer(uint256 orderId, IAgreements.Terms memory terms, uint256 amount) internal {
        _credits[terms.buyer][terms.token] += amount;
        emit OrderRefunded(orderId, terms.buyer, amount);
    }

    function _creditSupplier(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms,
        uint256 amount
    ) internal {
        address supplier = terms.suppliers[record.supplierIndex];
        _credits[supplier][terms.token] += amount;
        emit OrderSettled(orderId, supplier, amount);
    }

    /// The last second of what the order's state waits for; IShipments.deadlineOf.
    function _deadlineOf(Record storage record, IAgreements.Terms memory terms) internal view returns (uint256) {
        OrderState state = record.state;
        if (state == OrderState.Placed || state == OrderState.Accepted) {
            return uint256(record.placedAt) + terms.dispatchSecMax;
        }
        if (state == OrderState.InTransit) return uint256(record.judgedFrom) + terms.transitSecMax;
        if (state == OrderState.Delivered) {
            uint256 claimUntil = uint256(record.deliveredAt) + terms.claimSecMax;
            uint256 until = record.postponedUntil;
            if (until <= claimUntil) return claimUntil;
            uint256 most = claimUntil + POSTPONED_SEC_MAX;
            return until < most ? until : most;
        }
        if (state == OrderState.Quarantined) return uint256(record.suspendedAt) + terms.quality.decisionSecMax;
        return state == OrderState.Held ? record.suspendedAt + HOLD_SEC_MAX : 0;
    }

    function _termsOf(Record storage record) internal view returns (IAgreements.Terms memory) {
        return agreements.termsOf(record.agreementId);
    }

    function _requireState(uint256 orderId, OrderState want) internal view returns (Record storage record) {
        record = _orders[orderId];
        if (record.state != want) revert OrderStateNot(orderId, record.state, want);
    }

    function _requireJudged(uint256 orderId) internal view returns (Record storage record) {
        record = _orders[orderId];
        if (!_isJudged(record.state)) revert OrderStateNot(orderId, record.state, OrderState.InTransit);
    }

    /// The states in which facts of the transit count.
    function _isJudged(OrderState state) internal pure returns (bool) {
        return state == OrderState.InTransit || state == OrderState.Delivered;
    }

    function _requireCaller(address want) internal view {
        if (msg.sender != want) revert CallerNot(msg.sender, want);
    }

    function _requirePassed(uint256 orderId, Record storage record, IAgreements.Terms memory terms) internal view {
        uint256 deadlineAt = _deadlineOf(record, terms);
        if (block.timestamp <= deadlineAt) revert DeadlineNotPassed(orderId, deadlineAt, block.timestamp);
    }

    function _requireNotPassed(uint256 orderId, Record storage record, IAgreements.Terms memory terms) internal view {
        uint256 deadlineAt = _deadlineOf(record, terms);
        if (block.timestamp > deadlineAt) revert DeadlinePassed(orderId, deadlineAt, block.timestamp);
    }
}
