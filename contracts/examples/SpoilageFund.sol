// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CryptletConsumer} from "../CryptletConsumer.sol";
import {ICryptletRegistry} from "../interfaces/ICryptletRegistry.sol";
import {IOracleSet} from "../interfaces/IOracleSet.sol";
import {IShipments} from "../interfaces/IShipments.sol";

/// @title A farm cooperative's fund against spoilage: the example to read before you write a contract of your own
/// @notice The cooperative takes a member's order into the fund before it leaves, and the fund sets a fixed relief
/// aside for it. When the goods spoil on the road, the relief is the farm's, on either of two grounds:
///
/// - proved: the truck's own device proved it, and Shipments cancelled the order. Nobody is asked, anybody may claim;
/// - attested: a quorum of oracles signed what a cryptlet worked out, here that the mean kinetic temperature of the
///   transit (one temperature that ages the goods as the real ones did) was over the fund's limit.
///
/// Amounts are in the fund's token, in its smallest unit. They are only ever credited; each farm withdraws its own.
contract SpoilageFund is CryptletConsumer, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// What the payload of the cryptlet's reports is: one ABI-encoded number, centi-degrees Celsius.
    bytes32 private constant PAYLOAD_TYPE = keccak256("MeanKineticTemperature(int16 centiC)");

    IERC20 public immutable token;
    address public immutable cooperative;
    uint256 public immutable relief;
    /// @notice Relief is due above it, centi-degrees Celsius.
    int16 public immutable limitCentiC;
    bytes32 public immutable cryptlet;

    /// @notice Neither set aside for an order nor credited to a farm.
    uint256 public freeAmount;
    /// @notice Who is relieved if the order's goods spoil; zero when no relief is set aside (any more).
    mapping(uint256 orderId => address) public farmOf;
    mapping(address farm => uint256) public creditOf;

    event FundRaised(address indexed from, uint256 amount);
    event FundDrawn(uint256 amount);
    event OrderTaken(uint256 indexed orderId, address indexed farm);
    event OrderReleased(uint256 indexed orderId, address indexed farm);
    event ReliefCredited(uint256 indexed orderId, address indexed farm, uint256 amount);
    event CreditWithdrawn(address indexed farm, uint256 amount);

    /// @notice Not published, retired, or its reports look otherwise.
    error CryptletUnfit(bytes32 cryptlet, bytes32 interfaceId);
    error NotCooperative(address caller);
    error OrderStateNot(uint256 orderId, IShipments.OrderState got, IShipments.OrderState want);
    error OrderAlreadyTaken(uint256 orderId, address farm);
    error OrderNotTaken(uint256 orderId);
    /// @notice The order goes on, or its relief is due.
    error OrderNotReleasable(uint256 orderId, IShipments.OrderState state, IShipments.Cause cause);
    error AmountTooLarge(uint256 got, uint256 freeAmount);
    error CreditZero(address farm);

    constructor(
        IOracleSet oracles_,
        IShipments shipments_,
        ICryptletRegistry registry,
        bytes32 cryptlet_,
        IERC20 token_,
        uint256 relief_,
        int16 limitCentiC_
    ) CryptletConsumer(oracles_, shipments_) {
        // A binding is made once. Retiring the cryptlet later does not undo it.
        bytes32 interfaceId = registry.cryptletOf(cryptlet_).interfaceId;
        if (!registry.isActive(cryptlet_) || interfaceId != PAYLOAD_TYPE) revert CryptletUnfit(cryptlet_, interfaceId);
        cooperative = msg.sender;
        cryptlet = cryptlet_;
        token = token_;
        relief = relief_;
        limitCentiC = limitCentiC_;
    }

    /// @notice Pays into the fund, by anybody (approved before). What arrives counts, also of a token that takes a fee.
    function raise(uint256 amount) external nonReentrant {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        freeAmount += received;
        emit FundRaised(msg.sender, received);
    }

    /// @notice Takes free money out again, by the cooperative. What is set aside or credited stays.
    function draw(uint256 amount) external nonReentrant {
        _requireCooperative();
        _takeFree(amount);
        emit FundDrawn(amount);
        token.safeTransfer(cooperative, amount);
    }

    /// @notice Sets relief aside for an order whose supplier has accepted it, by the cooperative: which orders are real
    /// and whose they are is its judgement, made before anybody knows how the transit goes.
    function take(uint256 orderId) external {
        _requireCooperative();
        IShipments.Order memory order = shipments.order(orderId);
        _requireState(orderId, order.state, IShipments.OrderState.Accepted);
        if (farmOf[orderId] != address(0)) revert OrderAlreadyTaken(orderId, farmOf[orderId]);
        _takeFree(relief);
        farmOf[orderId] = order.supplier;
        emit OrderTaken(orderId, order.supplier);
    }

    /// @notice The proved ground: credits the relief of an order that a proved fact cancelled, by anybody.
    function claim(uint256 orderId) external {
        IShipments.Order memory order = _requireProved(orderId);
        _requireState(orderId, order.state, IShipments.OrderState.Cancelled);
        _credit(orderId);
    }

    /// @notice Frees the relief of an order that ended without a ground for it, by anybody.
    function release(uint256 orderId) external {
        address farm = _requireTaken(orderId);
        IShipments.Order memory order = shipments.order(orderId);
        bool isReleasable = order.state == IShipments.OrderState.Settled ||
            order.state == IShipments.OrderState.Refunded ||
            (order.state == IShipments.OrderState.Cancelled && order.cause == IShipments.Cause.Attested);
        if (!isReleasable) revert OrderNotReleasable(orderId, order.state, order.cause);
        delete farmOf[orderId];
        freeAmount += relief;
        emit OrderReleased(orderId, farm);
    }

    /// @notice Pays the caller's whole credit out to the caller.
    function withdraw() external nonReentrant returns (uint256 amount) {
        amount = creditOf[msg.sender];
        if (amount == 0) revert CreditZero(msg.sender);
        creditOf[msg.sender] = 0;
        emit CreditWithdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// The attested ground. The base has asked all there is to ask of a report; this says what it does. A revert here
    /// (the order was paid for before, the payload is not a number) uses the report up and undoes nothing else.
    function _apply(Report calldata report, bytes32) internal override {
        int16 meanCentiC = abi.decode(report.payload, (int16));
        if (meanCentiC > limitCentiC) _credit(report.subject);
    }

    /// Three times what it takes. What `_apply` gets must not depend on who transmits.
    function _applyGas() internal pure override returns (uint256) {
        return 100_000;
    }

    /// One cryptlet speaks to this fund, whatever others an order's own terms name.
    function _isBound(Report calldata report) internal view override returns (bool) {
        return report.cryptlet == cryptlet;
    }

    function _credit(uint256 orderId) private {
        address farm = _requireTaken(orderId);
        delete farmOf[orderId];
        creditOf[farm] += relief;
        emit ReliefCredited(orderId, farm, relief);
    }

    function _takeFree(uint256 amount) private {
        if (amount > freeAmount) revert AmountTooLarge(amount, freeAmount);
        freeAmount -= amount;
    }

    function _requireCooperative() private view {
        if (msg.sender != cooperative) revert NotCooperative(msg.sender);
    }

    function _requireTaken(uint256 orderId) private view returns (address farm) {
        farm = farmOf[orderId];
        if (farm == address(0)) revert OrderNotTaken(orderId);
    }

    function _requireState(
        uint256 orderId,
        IShipments.OrderState got,
        IShipments.OrderState want
    ) private pure {
        if (got != want) revert OrderStateNot(orderId, got, want);
    }
}
