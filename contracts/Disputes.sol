// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CryptletConsumer} from "./CryptletConsumer.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IOracleSet} from "./interfaces/IOracleSet.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Facts about orders that oracles attest, and what a party may say against them
/// @notice IDisputes is the document of this contract.
/// @dev Bonds, token and arbiter are read from the order's agreement each time: nothing can change it.
contract Disputes is IDisputes, CryptletConsumer, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @inheritdoc IDisputes
    uint256 public assertionCount;
    /// @inheritdoc IDisputes
    mapping(uint256 orderId => uint256 assertionId) public latestOf;
    /// @inheritdoc IDisputes
    mapping(address account => mapping(IERC20 token => uint256)) public creditOf;

    mapping(uint256 assertionId => Assertion) private _assertions;

    constructor(IOracleSet oracles_, IShipments shipments_) CryptletConsumer(oracles_, shipments_) {}

    /// @inheritdoc IDisputes
    function transmit(
        Report calldata report,
        bytes[] calldata signatures
    ) external override(CryptletConsumer, IDisputes) nonReentrant {
        _apply(report, _use(report, signatures));
    }

    /// @inheritdoc IDisputes
    function dispute(uint256 assertionId) external nonReentrant {
        Assertion storage assertion = _requireState(assertionId, AssertionState.Asserted);
        if (block.timestamp > assertion.disputableUntil) {
            revert LivenessPassed(assertionId, assertion.disputableUntil, block.timestamp);
        }
        uint256 orderId = assertion.orderId;
        (IShipments.Order memory order, IAgreements.Terms memory terms) = _requireOpen(orderId);
        if (msg.sender != order.buyer && msg.sender != order.supplier && msg.sender != order.carrier) {
            revert NotParty(msg.sender, orderId);
        }
        uint32 closesAt = uint32(block.timestamp) + terms.attested.arbitrationSecMax;
        assertion.state = AssertionState.Disputed;
        assertion.disputer = msg.sender;
        assertion.closesAt = closesAt;
        emit FactDisputed(assertionId, orderId, msg.sender, closesAt);
        _takeBond(terms);
    }

    /// @inheritdoc IDisputes
    function conclude(uint256 assertionId) external nonReentrant returns (uint256 replacementId) {
        Assertion storage assertion = _requireState(assertionId, AssertionState.Asserted);
        if (block.timestamp <= assertion.disputableUntil) {
            revert LivenessNotPassed(assertionId, assertion.disputableUntil, block.timestamp);
        }
        (, IAgreements.Terms memory terms) = _requireOpen(assertion.orderId);
        return _uphold(assertionId, assertion, terms, terms.attested.bond, 0);
    }

    /// @inheritdoc IDisputes
    function arbitrate(
        uint256 assertionId,
        bool isUpheld,
        bytes32 reasonDigest
    ) external nonReentrant returns (uint256 replacementId) {
        Assertion storage assertion = _requireState(assertionId, AssertionState.Disputed);
        (, IAgreements.Terms memory terms) = _requireOpen(assertion.orderId);
        if (msg.sender != terms.attested.arbiter) revert NotArbiter(msg.sender, terms.attested.arbiter);
        if (block.timestamp > assertion.closesAt) {
            revert ArbitrationPassed(assertionId, assertion.closesAt, block.timestamp);
        }
        if (reasonDigest == 0) revert ReasonZero(assertionId);
        uint256 bonds = 2 * uint256(terms.attested.bond);
        if (isUpheld) return _uphold(assertionId, assertion, terms, bonds, reasonDigest);
        assertion.state = AssertionState.Rejected;
        creditOf[assertion.disputer][terms.token] += bonds;
        emit FactRejected(assertionId, assertion.orderId, reasonDigest);
    }

    /// @inheritdoc IDisputes
    function lapse(uint256 assertionId) external nonReentrant {
        Assertion storage assertion = _assertions[assertionId];
        bool isDisputed = assertion.state == AssertionState.Disputed;
        if (!isDisputed) _requireState(assertionId, AssertionState.Asserted);
        (IShipments.Order memory order, IAgreements.Terms memory terms) = _read(assertion.orderId);
        if (_isOpen(order) && block.timestamp <= assertion.closesAt) {
            revert ArbitrationNotPassed(assertionId, assertion.closesAt, block.timestamp);
        }
        assertion.state = AssertionState.Lapsed;
        creditOf[assertion.asserter][terms.token] += terms.attested.bond;
        if (isDisputed) creditOf[assertion.disputer][terms.token] += terms.attested.bond;
        emit FactLapsed(assertionId, assertion.orderId);
    }

    /// @inheritdoc IDisputes
    function withdraw(IERC20 token) external nonReentrant returns (uint256 amount) {
        amount = creditOf[msg.sender][token];
        if (amount == 0) revert CreditZero(msg.sender, token);
        creditOf[msg.sender][token] = 0;
        emit CreditWithdrawn(msg.sender, token, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IDisputes
    function assertionOf(uint256 assertionId) external view returns (Assertion memory) {
        return _assertions[assertionId];
    }

    /// The assertion, with the caller's bond: called by transmit directly, so that `msg.sender` is who pays it.
    function _apply(Report calldata report, bytes32 digest) internal override {
        uint256 orderId = report.subject;
        (, IAgreements.Terms memory terms) = _requireOpen(orderId);
        if (terms.attested.disputes != address(this)) revert DisputesNot(terms.attested.disputes, address(this));
        _requireNoneLive(orderId);
        uint256 assertionId = ++assertionCount;
        latestOf[orderId] = assertionId;
        uint32 disputableUntil = uint32(block.timestamp) + terms.attested.livenessSecMin;
        uint32 closesAt = disputableUntil + terms.attested.arbitrationSecMax;
        _assertions[assertionId] = Assertion({
            state: AssertionState.Asserted,
            asserter: msg.sender,
            disputableUntil: disputableUntil,
            closesAt: closesAt,
            disputer: address(0),
            orderId: orderId,
            reportDigest: digest
        });
        emit FactAsserted(assertionId, orderId, msg.sender, digest, terms.attested.bond, disputableUntil);
        _takeBond(terms);
        // A dispute in the last second is still decided by then, and so the order stays open for as long.
        shipments.postpone(orderId, closesAt);
    }

    function _uphold(
        uint256 assertionId,
        Assertion storage assertion,
        IAgreements.Terms memory terms,
        uint256 bonds,
        bytes32 reasonDigest
    ) private returns (uint256 replacementId) {
        assertion.state = AssertionState.Upheld;
        creditOf[assertion.asserter][terms.token] += bonds;
        emit FactUpheld(assertionId, assertion.orderId, reasonDigest);
        return shipments.conclude(assertion.orderId, assertion.reportDigest, IShipments.Cause.Attested);
    }

    function _takeBond(IAgreements.Terms memory terms) private {
        uint256 before = terms.token.balanceOf(address(this));
        terms.token.safeTransferFrom(msg.sender, address(this), terms.attested.bond);
        uint256 received = terms.token.balanceOf(address(this)) - before;
        if (received != terms.attested.bond) revert AmountReceivedNot(received, terms.attested.bond);
    }

    function _read(
        uint256 orderId
    ) private view returns (IShipments.Order memory order, IAgreements.Terms memory terms) {
        order = shipments.order(orderId);
        terms = _agreements.termsOf(order.agreementId);
    }

    function _requireOpen(
        uint256 orderId
    ) private view returns (IShipments.Order memory order, IAgreements.Terms memory terms) {
        (order, terms) = _read(orderId);
        if (!_isOpen(order)) revert OrderNotOpen(orderId, order.state);
    }

    function _requireState(
        uint256 assertionId,
        AssertionState want
    ) private view returns (Assertion storage assertion) {
        assertion = _assertions[assertionId];
        if (assertion.state != want) revert AssertionStateNot(assertionId, assertion.state, want);
    }

    function _requireNoneLive(uint256 orderId) private view {
        uint256 latest = latestOf[orderId];
        AssertionState state = _assertions[latest].state;
        if (state == AssertionState.Asserted || state == AssertionState.Disputed) revert AssertionLive(orderId, latest);
    }

    function _isOpen(IShipments.Order memory order) private pure returns (bool) {
        return order.state == IShipments.OrderState.InTransit || order.state == IShipments.OrderState.Delivered;
    }
}
