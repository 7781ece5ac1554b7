// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAgreements} from "./IAgreements.sol";
import {IDeviceRegistry} from "./IDeviceRegistry.sol";
import {IEvidence} from "./IEvidence.sol";
import {IFleet} from "./IFleet.sol";

/// @title Orders of refrigerated goods, from escrow to settlement or a fact that ends them
/// @notice STATES.md draws the state machine. Money is held in the order's token, in its smallest unit; it is only ever
/// credited, and each party withdraws its own credit. Nobody, no role either, can move it otherwise. Every state that
/// is not final is left by anyone's call once its deadline has passed. Times are Unix seconds.
interface IShipments is IEvidence {
    enum OrderState {
        /// There is no such order.
        None,
        /// Paid into escrow; waits for the supplier whose turn it is.
        Placed,
        /// The supplier takes it; waits for the carrier.
        Accepted,
        /// On the road with a device and a truck.
        InTransit,
        /// The consignee has the goods; facts of the transit still count.
        Delivered,
        /// Final: the price is credited to the supplier, or shared with the buyer after a partial release.
        Settled,
        /// Final: a fact ended it; the price went to the replacement order, or back to the buyer.
        Cancelled,
        /// Final: a deadline or a party ended it; the price is credited to the buyer.
        Refunded,
        /// A fact set the goods aside; waits for the quality authority.
        Quarantined,
        /// A fact ends it, and too many ended the carrier's orders of late; waits for two approvers, or three days.
        Held
    }

    /// @notice Why an order was ended or set aside. The first two are proved by a device's own signatures.
    enum Cause {
        None,
        Excursion,
        CumulativeExcursion,
        /// Proved by absence: the terms' monitor says so.
        Silence,
        /// The terms' disputes contract says so.
        Attested
    }

    enum Disposition {
        /// All goods are good: the order goes on from where it was.
        Released,
        /// Some are good, and paid for; the order is settled.
        PartlyReleased,
        /// None are: the order is cancelled and replaced.
        Rejected
    }

    struct Order {
        OrderState state;
        /// Of the fact in `evidenceDigest`.
        Cause cause;
        uint256 agreementId;
        address buyer;
        /// The supplier whose turn it is.
        address supplier;
        address carrier;
        /// SHA-256(x ‖ y) of the device's key, and the truck; zero before dispatch.
        bytes32 device;
        bytes32 truck;
        /// Unix seconds, 0 for not yet. Evidence counts from judgedFrom on: the dispatch, or the last release.
        uint32 placedAt;
        uint32 dispatchedAt;
        uint32 judgedFrom;
        uint32 deliveredAt;
        /// Into its present state, when that is Quarantined or Held, Unix seconds.
        uint32 suspendedAt;
        /// Nobody but the buyer settles before this, Unix seconds; 0 for no such wish.
        uint32 postponedUntil;
        /// Replacements before this one.
        uint8 reorderCount;
        /// The order that took over the escrow, 0 for none; and the order whose escrow this one took over.
        uint256 replacementId;
        uint256 replacementOf;
        /// Identity of the last fact that ended the order or set it aside, 0 for none.
        bytes32 evidenceDigest;
        /// The repair ticket that this fact opened, 0 for none.
        uint256 ticketId;
        /// The terms' cover has been told of this fact.
        bool isCoverRequested;
        /// The first approver of a held order.
        address approver;
    }

    event OrderPlaced(
        uint256 indexed orderId,
        uint256 indexed agreementId,
        address indexed buyer,
        address supplier,
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
    event OrderDelivered(uint256 indexed orderId, address indexed consignee, uint64 quantity, uint32 deliveredAt);
    event OrderSettled(uint256 indexed orderId, address indexed supplier, uint256 amount);
    /// @notice The buyer is credited: the order ended without its goods, or a part of them.
    event OrderRefunded(uint256 indexed orderId, address indexed buyer, uint256 amount);
    /// @notice Settlement waits until then at least, Unix seconds.
    event SettlementPostponed(uint256 indexed orderId, uint32 until);
    /// @notice A device's own evidence broke the terms. Unix seconds, seconds, centi-degrees Celsius.
    event ExcursionProved(
        uint256 indexed orderId,
        bytes32 indexed evidenceDigest,
        uint8 channel,
        uint32 startedAt,
        uint32 durationSec,
        int16 peakCentiC,
        address indexed reporter
    );
    event OrderCancelled(uint256 indexed orderId, bytes32 indexed factDigest, Cause cause, address indexed reporter);
    event OrderQuarantined(uint256 indexed orderId, bytes32 indexed factDigest, Cause cause, address indexed reporter);
    event OrderHeld(uint256 indexed orderId, bytes32 indexed factDigest, Cause cause, address indexed reporter);
    event OrderReplaced(uint256 indexed orderId, uint256 indexed replacementId, address indexed supplier);
    /// @param reasonDigest of the authority's report
    event OrderDisposed(
        uint256 indexed orderId,
        address indexed authority,
        Disposition disposition,
        uint64 quantityReleased,
        bytes32 reasonDigest
    );
    event HeldApproved(uint256 indexed orderId, address indexed approver);
    event RepairRequested(uint256 indexed orderId, bytes32 indexed truck, uint256 indexed ticketId);
    /// @notice What the fact did to the order stands; anyone may call requestRepair.
    event RepairRequestFailed(uint256 indexed orderId, bytes32 indexed truck);
    event CoverRequested(uint256 indexed orderId, address indexed cover);
    /// @notice What the fact did to the order stands; anyone may call requestCover.
    event CoverRequestFailed(uint256 indexed orderId, address indexed cover);
    event CreditWithdrawn(address indexed account, IERC20 indexed token, uint256 amount);
    event BreakerSet(uint8 countMax, uint32 windowSec);

    /// @notice The order is in state `got`; the call needs `want` (the earliest that would do).
    error OrderStateNot(uint256 orderId, OrderState got, OrderState want);
    /// @notice Not the party that the call asks for.
    error CallerNot(address caller, address want);
    /// @notice The agreement has its order.
    error AgreementAlreadyPlaced(uint256 agreementId, uint256 orderId);
    /// @notice The token delivered another amount than was asked for, as one that takes a fee does.
    error AmountReceivedNot(uint256 got, uint256 want);
    /// @notice Unix seconds. A deadline's own second still belongs to the time before.
    error DeadlineNotPassed(uint256 orderId, uint256 deadlineAt, uint256 nowAt);
    error DeadlinePassed(uint256 orderId, uint256 deadlineAt, uint256 nowAt);
    /// @notice The device is not enrolled, or was revoked, for some of this time. Unix seconds, both included.
    error DeviceNotValid(bytes32 device, uint256 from, uint256 until);
    /// @notice The device or the truck is not the carrier's.
    error DeviceNotOfCarrier(bytes32 device, address owner, address carrier);
    error TruckNotOfCarrier(bytes32 truck, address owner, address carrier);
    /// @notice The device's calibration certificate has run out. Unix seconds.
    error DeviceNotCalibrated(bytes32 device, uint256 calibrationUntil, uint256 nowAt);
    /// @notice The truck has an open repair ticket.
    error TruckInRepair(bytes32 truck);
    /// @notice The parties' copies of the order are missing or differ.
    error NotReconciled(uint256 orderId, address reconciliation);
    /// @notice Goods are taken over whole or not at all.
    error PartDelivery(uint64 got, uint64 want);
    error ConsigneeSignatureInvalid(address consignee, bytes32 digest);
    /// @notice Released is all of `quantity`, Rejected none, PartlyReleased some.
    error DispositionInvalid(Disposition disposition, uint64 quantityReleased, uint64 quantity);
    /// @notice This evidence ended the order or set it aside before.
    error EvidenceAlreadyUsed(bytes32 evidenceDigest);
    /// @notice The terms have no cumulative allowance for the channel.
    error CumulativeNotInTerms(uint8 channel);
    /// @notice This cause is concluded by somebody else; `want` is zero for the causes that evidence proves.
    error CauseNotOfCaller(Cause cause, address caller, address want);
    /// @notice A repair or a cover could fail for want of gas alone; send more.
    error GasTooLow(uint256 got, uint256 want);
    error RepairAlreadyRequested(uint256 orderId, uint256 ticketId);
    error CoverAlreadyRequested(uint256 orderId, address cover);
    /// @notice The terms name no cover, or the cause is not one that a device's evidence proves.
    error CoverNotDue(uint256 orderId, address cover, Cause cause);
    error CreditZero(address account, IERC20 token);
    /// @notice The second approver is somebody else than the first.
    error ApproverNotDistinct(uint256 orderId, address approver);
    error BreakerOutOfRange(uint8 countMax, uint32 windowSec);

    /// @notice Places the order of an agreement, once, and pays its price into escrow; by the buyer, who has approved
    /// the price. Not while paused. An id can mean another agreement after a reorganisation of the chain: place one
    /// that is final.
    /// @return orderId from 1
    function place(uint256 agreementId) external returns (uint256 orderId);

    /// @notice Takes the order, by the supplier whose turn it is, until the dispatch deadline.
    function accept(uint256 orderId) external;

    /// @notice Passes the order on to the next supplier, by the one whose turn it is; with no next one the buyer is
    /// refunded.
    function decline(uint256 orderId) external;

    /// @notice Takes the order back before any supplier has accepted it, by the buyer.
    function cancel(uint256 orderId) external;

    /// @notice Ends what has waited too long, by anyone: an order not dispatched or not delivered in time is refunded,
    /// one in quarantine without a decision is rejected.
    function expire(uint256 orderId) external;

    /// @notice Sends the goods off, by the carrier, with a device and a truck that are its own, until the dispatch
    /// deadline. Not while paused.
    function dispatchOrder(uint256 orderId, bytes32 device, bytes32 truck) external;

    /// @notice Confirms that the goods have arrived, by the consignee.
    /// @param quantity what arrived, in the terms' unit
    function deliver(uint256 orderId, uint64 quantity) external;

    /// @notice Likewise, by anyone with the consignee's signature over digestDelivery: the driver hands over against
    /// it.
    function deliverSigned(uint256 orderId, uint64 quantity, bytes calldata signature) external;

    /// @notice Credits the price of a delivered order to its supplier: by the buyer at any time, by anyone after the
    /// claim window.
    function settle(uint256 orderId) external;

    /// @notice Pays the caller's whole credit in a token out to the caller.
    /// @return amount in the token's smallest unit
    function withdraw(IERC20 token) external returns (uint256 amount);

    /// @notice Whether the evidence ends this order. Reverts with the reason when it does not.
    function verifyExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external view returns (Excursion memory);

    /// @notice Applies the terms' consequence to an order in transit or delivered, by anyone with evidence of an
    /// excursion of the transit; and asks for the truck's repair and the cover.
    /// @return replacementId 0 when there is no replacement (now, or at all)
    function reportExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external returns (uint256 replacementId);

    /// @notice Likewise, by excursions of one channel that break the terms together.
    /// @param runs oldest first
    function reportCumulative(
        uint256 orderId,
        ExcursionEvidence[] calldata runs
    ) external returns (uint256 replacementId);

    /// @notice Likewise, by a fact that the terms' monitor (Silence) or disputes contract (Attested) has established.
    function conclude(uint256 orderId, bytes32 factDigest, Cause cause) external returns (uint256 replacementId);

    /// @notice Keeps a fact's time to be disputed: nobody but the buyer settles before `until`, which moves only
    /// forward and counts at most 30 days beyond the claim window. By the terms' disputes contract.
    /// @param until Unix seconds
    function postpone(uint256 orderId, uint32 until) external;

    /// @notice Decides on quarantined goods, by the terms' quality authority.
    /// @param quantityReleased in the terms' unit; all for Released, 0 for Rejected
    /// @param reasonDigest of the authority's report
    function dispose(
        uint256 orderId,
        Disposition disposition,
        uint64 quantityReleased,
        bytes32 reasonDigest
    ) external returns (uint256 replacementId);

    /// @notice Approves the cancellation of a held order, by two approvers, the second of whom applies it. For
    /// authorised approvers only.
    function approveHeld(uint256 orderId) external returns (uint256 replacementId);

    /// @notice Applies it three days after the order was held, by anyone.
    function applyHeld(uint256 orderId) external returns (uint256 replacementId);

    /// @notice Asks for the repair again when it failed, by anyone, while the order is cancelled or in quarantine.
    /// @return ticketId
    function requestRepair(uint256 orderId) external returns (uint256 ticketId);

    /// @notice Likewise for the cover.
    function requestCover(uint256 orderId) external;

    /// @notice Stops new business: place and dispatchOrder, and nothing else. For authorised guardians only.
    function pause() external;

    function unpause() external;

    /// @notice Of a carrier's orders at most countMax are cancelled by facts within windowSec; more are held. For
    /// authorised risk officers only.
    /// @param countMax 1 to 8
    /// @param windowSec an hour to 30 days, seconds
    function setBreaker(uint8 countMax, uint32 windowSec) external;

    function breaker() external view returns (uint8 countMax, uint32 windowSec);

    /// @notice All that is known of an order; zeros for one that does not exist.
    function order(uint256 orderId) external view returns (Order memory);

    /// @notice The last second of what the order's state waits for, Unix seconds; after it anyone may make the move
    /// that ends the wait. 0 for no order and in a final state.
    function deadlineOf(uint256 orderId) external view returns (uint256);

    /// @notice Orders so far, replacements included; their ids are 1 to this.
    function orderCount() external view returns (uint256);

    /// @notice The first order of an agreement, 0 for none.
    function orderOf(uint256 agreementId) external view returns (uint256 orderId);

    /// @notice What an account may withdraw, in the token's smallest unit.
    function creditOf(address account, IERC20 token) external view returns (uint256);

    /// @notice Identity of evidence, free of signatures: keccak256(channel ‖ SHA-256 of each batch).
    function digestEvidence(ExcursionEvidence calldata evidence) external view returns (bytes32);

    /// @notice What the consignee signs: EIP-712, domain "Coldproof" version "1", Delivery(uint256 orderId,uint64
    /// quantity).
    function digestDelivery(uint256 orderId, uint64 quantity) external view returns (bytes32);

    function agreements() external view returns (IAgreements);

    function registry() external view returns (IDeviceRegistry);

    function fleet() external view returns (IFleet);
}
