// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ICargoCover} from "./interfaces/ICargoCover.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Parametric cover of a cargo
/// @notice ICargoCover is the document of this contract.
contract CargoCover is ICargoCover, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    bytes32 private constant QUOTE_TYPE =
        keccak256(
            "Quote(address insurer,address buyer,uint256 orderId,address token,uint128 premium,uint128 payout,"
            "uint32 validUntil)"
        );

    /// @inheritdoc ICargoCover
    IShipments public immutable shipments;

    mapping(uint256 orderId => Policy) private _policies;
    mapping(address account => mapping(IERC20 token => uint256)) private _credits;
    mapping(address insurer => mapping(IERC20 token => uint256)) private _reserved;

    constructor(IShipments shipments_) EIP712("Coldproof", "1") {
        shipments = shipments_;
    }

    /// @inheritdoc ICargoCover
    function deposit(IERC20 token, uint256 amount) external nonReentrant {
        _credits[msg.sender][token] += amount;
        emit CapitalDeposited(msg.sender, token, amount);
        _receive(token, amount);
    }

    /// @inheritdoc ICargoCover
    function withdraw(IERC20 token, uint256 amount) external nonReentrant {
        uint256 credit = _credits[msg.sender][token];
        if (amount > credit) revert CreditInsufficient(msg.sender, token, credit, amount);
        _credits[msg.sender][token] = credit - amount;
        emit CreditWithdrawn(msg.sender, token, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ICargoCover
    function take(Quote calldata quote, bytes calldata signature) external nonReentrant {
        _requireTakeable(quote);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(QUOTE_TYPE, quote)));
        if (!SignatureChecker.isValidSignatureNowCalldata(quote.insurer, digest, signature)) {
            revert QuoteSignatureInvalid(quote.insurer, digest);
        }
        uint256 capital = _credits[quote.insurer][quote.token] + quote.premium;
        if (capital < quote.payout) revert PoolInsufficient(capital, quote.payout);
        _credits[quote.insurer][quote.token] = capital - quote.payout;
        _reserved[quote.insurer][quote.token] += quote.payout;
        _policies[quote.orderId] = Policy(PolicyState.Active, quote.insurer, quote.token, quote.payout);
        emit PolicyTaken(quote.orderId, quote.insurer, msg.sender, quote.token, quote.premium, quote.payout);
        _receive(quote.token, quote.premium);
    }

    /// @inheritdoc ICargoCover
    function onExcursion(uint256 orderId, bytes32 evidenceDigest) external {
        if (msg.sender != address(shipments)) revert CallerNot(msg.sender, address(shipments));
        if (_policies[orderId].state != PolicyState.Active) return;
        IShipments.Order memory order = shipments.order(orderId);
        if (_isClaimable(order)) _claim(orderId, order.buyer, evidenceDigest);
    }

    /// @inheritdoc ICargoCover
    function settleClaim(uint256 orderId) external {
        _requireActive(orderId);
        IShipments.Order memory order = shipments.order(orderId);
        if (!_isClaimable(order)) revert ExcursionNotProved(orderId, order.state, order.cause);
        _claim(orderId, order.buyer, order.evidenceDigest);
    }

    /// @inheritdoc ICargoCover
    function release(uint256 orderId) external {
        Policy storage policy = _requireActive(orderId);
        IShipments.Order memory order = shipments.order(orderId);
        if (_isClaimable(order) || !_hasEnded(order.state)) {
            revert PolicyNotReleasable(orderId, order.state, order.cause);
        }
        policy.state = PolicyState.Released;
        _reserved[policy.insurer][policy.token] -= policy.payout;
        _credits[policy.insurer][policy.token] += policy.payout;
        emit PolicyReleased(orderId, policy.insurer, policy.payout);
    }

    /// @inheritdoc ICargoCover
    function policyOf(uint256 orderId) external view returns (Policy memory) {
        return _policies[orderId];
    }

    /// @inheritdoc ICargoCover
    function creditOf(address account, IERC20 token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc ICargoCover
    function reservedOf(address insurer, IERC20 token) external view returns (uint256) {
        return _reserved[insurer][token];
    }

    function _claim(uint256 orderId, address buyer, bytes32 evidenceDigest) private {
        Policy storage policy = _policies[orderId];
        policy.state = PolicyState.Claimed;
        _reserved[policy.insurer][policy.token] -= policy.payout;
        _credits[buyer][policy.token] += policy.payout;
        emit PolicyClaimed(orderId, buyer, policy.payout, evidenceDigest);
    }

    /// The books are written before, so that a token that calls back finds nothing it could use.
    function _receive(IERC20 token, uint256 amount) private {
        if (address(token).code.length == 0) revert TokenInvalid(token);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert AmountReceivedNot(received, amount);
    }

    function _requireTakeable(Quote calldata quote) private view {
        uint256 orderId = quote.orderId;
        if (msg.sender != quote.buyer) revert CallerNot(msg.sender, quote.buyer);
        if (quote.validUntil < block.timestamp) revert QuoteExpired(quote.validUntil, block.timestamp);
        Policy storage policy = _policies[orderId];
        if (policy.state != PolicyState.None) revert PolicyAlreadyTaken(orderId, policy.insurer);
        IShipments.Order memory order = shipments.order(orderId);
        if (order.state != IShipments.OrderState.Placed && order.state != IShipments.OrderState.Accepted) {
            revert OrderNotCoverable(orderId, order.state);
        }
        if (order.buyer != quote.buyer) revert BuyerNot(orderId, quote.buyer, order.buyer);
    }

    function _requireActive(uint256 orderId) private view returns (Policy storage policy) {
        policy = _policies[orderId];
        if (policy.state != PolicyState.Active) revert PolicyNotActive(orderId, policy.state);
    }

    /// A device's own evidence has counted. While the order is held for approvers it has not.
    function _isClaimable(IShipments.Order memory order) private pure returns (bool) {
        return
            order.state != IShipments.OrderState.Held &&
            (order.cause == IShipments.Cause.Excursion || order.cause == IShipments.Cause.CumulativeExcursion);
    }

    function _hasEnded(IShipments.OrderState state) private pure returns (bool) {
        return
            state == IShipments.OrderState.Settled ||
            state == IShipments.OrderState.Cancelled ||
            state == IShipments.OrderState.Refunded;
    }
}
