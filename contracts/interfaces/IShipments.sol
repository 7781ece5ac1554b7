// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IDeviceRegistry} from "./IDeviceRegistry.sol";
import {IEvidence} from "./IEvidence.sol";
import {IFleet} from "./IFleet.sol";

/// @title Orders of refrigerated goods, from terms and escrow to settlement or proved cancellation
/// @notice STATES.md draws the state machine. Money is held in the order's token, in its smallest unit; it is only ever
/// credited, and each party withdraws its own credit. Nobody, no operator either, can move it otherwise.
interface IShipments is IEvidence {
    enum OrderState {
        /// There is no such order.
        None,
        /// Paid into escrow; waits for the supplier whose turn it is.
        Placed,
        /// The supplier takes it; waits for the carrier.
        Accepted,
        /// On the road with a device and a truck; the only state in which evidence counts.
        InTransit,
        /// The buyer has the goods.
        Delivered,
        /// Final: the price is credited to the supplier.
        Settled,
        /// Final: a proved excursion ended it; the price went to the replacement order, or back to the buyer.
        Cancelled,
        /// Final: ended before it was dispatched; the price is credited to the buyer.
        Refunded
    }

    struct Terms {
        IERC20 token;
        /// In the token's smallest unit.
        uint128 price;
        /// Who dispatches the order, with a device and a truck of its own.
        address carrier;
        /// A temperature channel: 1 to 4, or 16 to 31 for cargo probes (wire/WIRE.md).
        uint8 channel;
        /// Centi-degrees Celsius; a sample at a limit is outside.
        int16 lowerLimitCentiC;
        int16 upperLimitCentiC;
        /// An excursion lasts at least this, seconds from its first to its last sample.
        uint32 excursionSecMin;
        /// Neighbouring samples of an excursion are at most this far apart, seconds.
        uint16 sampleGapSecMax;
        /// Seconds from placing until an order that has not been dispatched may be expired.
        uint32 deliverySecMax;
        /// One to eight, all different, in the order in which they are asked. The next one takes the replacement.
        address[] suppliers;
    }

    struct Order {
        OrderState state;
        address buyer;
        /// The supplier whose turn it is.
        address supplier;
        /// SHA-256(x ‖ y) of the device's key, and the truck; zero before dispatch.
        bytes32 device;
        bytes32 truck;
        /// Unix seconds, 0 for not yet.
        uint32 placedAt;
        uint32 dispatchedAt;
        uint32 deliveredAt;
        /// The order that took over the escrow, 0 for none; and the order whose escrow this one took over.
        uint256 replacementId;
        uint256 replacementOf;
        /// keccak256 identity of the evidence that cancelled the order, 0 for none.
        bytes32 evidenceDigest;
        /// The repair ticket that the cancellation opened, 0 for none.
        uint256 ticketId;
        Terms terms;
    }

    event OrderPlaced(
        uint256 indexed orderId,
        address indexed buyer,
        address indexed supplier,
        IERC20 token,
        uint256 price
    );
    event OrderAccepted(uint256 indexed orderId, address indexed supplier);
    /// @notice The order stays placed, and it is the next supplier's turn.
    event OrderDeclined(uint256 indexed orderId, address indexed supplier, address indexed nextSupplier);
    event OrderDispatched(
        uint256 indexed orderId,
        bytes32 indexed device,
        bytes32 indexed truck,
        address carrier,
        uint32 dispatchedAt
    );
    event OrderDelivered(uint256 indexed orderId, address indexed buyer, uint32 deliveredAt);
    event OrderSettled(uint256 indexed orderId, address indexed supplier, uint256 price);
    /// @notice The order ended before dispatch, or was cancelled and no supplier is left.
    event OrderRefunded(uint256 indexed orderId, address indexed buyer, uint256 price);
    /// @notice A device's own evidence ended the order. Unix seconds, seconds, centi-degrees Celsius.
    event OrderCancelled(
        uint256 indexed orderId,
        bytes32 indexed evidenceDigest,
        uint32 startedAt,
        uint32 durationSec,
        int16 peakCentiC,
        address indexed reporter
    );
    event OrderReplaced(uint256 indexed orderId, uint256 indexed replacementId, address indexed supplier);
    event RepairRequested(uint256 indexed orderId, bytes32 indexed truck, uint256 indexed ticketId);
    /// @notice The cancellation stands; anyone may call requestRepair.
    event RepairRequestFailed(uint256 indexed orderId, bytes32 indexed truck);
    event CreditWithdrawn(address indexed account, IERC20 indexed token, uint256 amount);

    /// @notice The order is in state `got`; the call needs `want` (the earliest that would do).
    error OrderStateNot(uint256 orderId, OrderState got, OrderState want);
    /// @notice Neither the buyer, supplier or carrier, whichever the call asks for.
    error CallerNot(address caller, address want);
    error TokenInvalid(IERC20 token);
    error PriceZero();
    error CarrierZero();
    error ChannelNotTemperature(uint8 channel);
    error LimitsNotOrdered(int16 lowerLimitCentiC, int16 upperLimitCentiC);
    /// @notice One of excursionSecMin, sampleGapSecMax and deliverySecMax is 0. Seconds.
    error DurationZero(uint32 excursionSecMin, uint16 sampleGapSecMax, uint32 deliverySecMax);
    error SupplierCountOutOfRange(uint256 got, uint256 max);
    /// @notice The zero address, or one that stands in the list before.
    error SupplierInvalid(uint256 index, address supplier);
    /// @notice The token delivered another amount than was asked for, as one that takes a fee does.
    error AmountReceivedNot(uint256 got, uint256 want);
    /// @notice Unix seconds.
    error DeadlineNotPassed(uint256 orderId, uint256 deadlineAt, uint256 nowAt);
    /// @notice The device is not enrolled, or was revoked, for some of this time. Unix seconds, both included.
    error DeviceNotValid(bytes32 device, uint256 from, uint256 until);
    /// @notice The device or the truck is not the carrier's.
    error DeviceNotOfCarrier(bytes32 device, address owner, address carrier);
    error TruckNotOfCarrier(bytes32 truck, address owner, address carrier);
    /// @notice The device's calibration certificate has run out. Unix seconds.
    error DeviceNotCalibrated(bytes32 device, uint256 calibrationUntil, uint256 nowAt);
    /// @notice The truck has an open repair ticket.
    error TruckInRepair(bytes32 truck);
    /// @notice This order has been cancelled by this evidence before.
    error EvidenceAlreadyUsed(bytes32 evidenceDigest);
    /// @notice The repair ticket could fail for want of gas alone; send more.
    error GasTooLow(uint256 got, uint256 want);
    error RepairAlreadyRequested(uint256 orderId, uint256 ticketId);
    error CreditZero(address account, IERC20 token);

    /// @notice Places an order and pays its price into escrow. The caller is the buyer and has approved the price.
    /// @return orderId from 1
    function place(Terms calldata terms) external returns (uint256 orderId);

    /// @notice Takes the order, by the supplier whose turn it is.
    function accept(uint256 orderId) external;

    /// @notice Passes the order on to the next supplier, by the one whose turn it is; with no next one the buyer is
    /// refunded.
    function decline(uint256 orderId) external;

    /// @notice Takes the order back before any supplier has accepted it, by the buyer.
    function cancel(uint256 orderId) external;

    /// @notice Refunds an order that was not dispatched within the terms' deliverySecMax, by anyone.
    function expire(uint256 orderId) external;

    /// @notice Sends the goods off, by the carrier, with a device and a truck that are its own.
    function dispatchOrder(uint256 orderId, bytes32 device, bytes32 truck) external;

    /// @notice Confirms that the goods have arrived, by the buyer.
    function deliver(uint256 orderId) external;

    /// @notice Credits the price of a delivered order to its supplier, by anyone.
    function settle(uint256 orderId) external;

    /// @notice Pays the caller's whole credit in a token out to the caller.
    /// @return amount in the token's smallest unit
    function withdraw(IERC20 token) external returns (uint256 amount);

    /// @notice Whether the evidence ends this order. Reverts with the reason when it does not.
    function verifyExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external view returns (Excursion memory);

    /// @notice Ends an order in transit by evidence, by anyone: cancels it, hands its escrow on to one replacement
    /// order with the next supplier (or back to the buyer), and asks for the truck's repair.
    /// @return replacementId 0 when no supplier is left
    function reportExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external returns (uint256 replacementId);

    /// @notice Asks for the repair again when it failed at the cancellation, by anyone.
    /// @return ticketId
    function requestRepair(uint256 orderId) external returns (uint256 ticketId);

    /// @notice All that is known of an order; zeros for one that does not exist.
    function order(uint256 orderId) external view returns (Order memory);

    /// @notice Orders so far, replacements included; their ids are 1 to this.
    function orderCount() external view returns (uint256);

    /// @notice What an account may withdraw, in the token's smallest unit.
    function creditOf(address account, IERC20 token) external view returns (uint256);

    /// @notice Identity of evidence, free of signatures: keccak256(channel ‖ SHA-256 of each batch).
    function digestEvidence(ExcursionEvidence calldata evidence) external view returns (bytes32);

    function registry() external view returns (IDeviceRegistry);

    function fleet() external view returns (IFleet);
}
