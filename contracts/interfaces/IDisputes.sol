// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICryptletConsumer} from "./ICryptletConsumer.sol";
import {IShipments} from "./IShipments.sol";

/// @title Facts about orders that oracles attest, and what a party may say against them
/// @notice A device's own evidence needs none of this: it decides at once, by itself (IShipments.reportExcursion). What
/// a quorum only attests is asserted here with a bond, can be disputed with an equal one, and is then decided by the
/// arbiter that the parties named. STATES.md draws the state machine. Times are Unix seconds; a limit's own second
/// belongs to the time before. Bonds are in the order's token and its smallest unit, and are only ever credited; each
/// account withdraws its own credit. When the order ends otherwise, by evidence for one, everybody's bond comes back.
interface IDisputes is ICryptletConsumer {
    enum AssertionState {
        /// There is no such assertion.
        None,
        /// May be disputed by a party; afterwards concluded by anyone.
        Asserted,
        /// Waits for the arbiter.
        Disputed,
        /// Final: the terms' consequence was applied to the order; the bonds went to the asserter.
        Upheld,
        /// Final: nothing was concluded; the bonds went to the disputer.
        Rejected,
        /// Final: nothing was concluded; each bond went back.
        Lapsed
    }

    struct Assertion {
        AssertionState state;
        address asserter;
        /// The last second to dispute it.
        uint32 disputableUntil;
        /// The last second for the arbiter, once disputed; after it anyone may lapse the assertion.
        uint32 closesAt;
        /// Zero while nobody has disputed it.
        address disputer;
        uint256 orderId;
        /// EIP-712 digest of the report.
        bytes32 reportDigest;
    }

    /// @param bond what it cost, in the token's smallest unit
    event FactAsserted(
        uint256 indexed assertionId,
        uint256 indexed orderId,
        address indexed asserter,
        bytes32 reportDigest,
        uint256 bond,
        uint32 disputableUntil
    );
    event FactDisputed(
        uint256 indexed assertionId,
        uint256 indexed orderId,
        address indexed disputer,
        uint32 closesAt
    );
    /// @param reasonDigest of the arbiter's decision, zero when nobody disputed the fact
    event FactUpheld(uint256 indexed assertionId, uint256 indexed orderId, bytes32 reasonDigest);
    event FactRejected(uint256 indexed assertionId, uint256 indexed orderId, bytes32 reasonDigest);
    event FactLapsed(uint256 indexed assertionId, uint256 indexed orderId);
    event CreditWithdrawn(address indexed account, IERC20 indexed token, uint256 amount);

    /// @notice The order's terms name another disputes contract, or none.
    error DisputesNot(address got, address want);
    /// @notice The order is neither in transit nor delivered.
    error OrderNotOpen(uint256 orderId, IShipments.OrderState state);
    /// @notice One at a time.
    error AssertionLive(uint256 orderId, uint256 assertionId);
    error AssertionStateNot(uint256 assertionId, AssertionState got, AssertionState want);
    error LivenessPassed(uint256 assertionId, uint256 disputableUntil, uint256 nowAt);
    error LivenessNotPassed(uint256 assertionId, uint256 disputableUntil, uint256 nowAt);
    error ArbitrationPassed(uint256 assertionId, uint256 closesAt, uint256 nowAt);
    /// @notice The order is open, and there is time left.
    error ArbitrationNotPassed(uint256 assertionId, uint256 closesAt, uint256 nowAt);
    /// @notice Neither the order's buyer nor its supplier nor its carrier.
    error NotParty(address caller, uint256 orderId);
    error NotArbiter(address caller, address arbiter);
    error ReasonZero(uint256 assertionId);
    /// @notice The token delivered another amount than was asked for, as one that takes a fee does.
    error AmountReceivedNot(uint256 got, uint256 want);
    error CreditZero(address account, IERC20 token);

    /// @notice Asserts what a report says, by anybody who pays the bond (approved before): that the order which is its
    /// subject breaks its terms. The payload holds the grounds, for the parties and the arbiter to read. Settlement by
    /// others than the buyer waits until all is decided.
    /// @dev All or nothing: a report that cannot be asserted now is not used up. If it were, anybody without a bond
    /// could use up another's. FactAsserted stands in for ReportApplied.
    function transmit(Report calldata report, bytes[] calldata signatures) external;

    /// @notice Disputes an assertion, by the order's buyer, supplier or carrier, with a bond as large (approved
    /// before).
    function dispute(uint256 assertionId) external;

    /// @notice Applies the terms' consequence to the order when nobody has disputed in time, by anyone.
    /// @return replacementId 0 when there is no replacement (now, or at all)
    function conclude(uint256 assertionId) external returns (uint256 replacementId);

    /// @notice Decides a dispute, by the terms' arbiter. The winner is credited both bonds.
    /// @param reasonDigest of the written decision
    function arbitrate(
        uint256 assertionId,
        bool isUpheld,
        bytes32 reasonDigest
    ) external returns (uint256 replacementId);

    /// @notice Ends what has lost its object or its time, by anyone: the order is no longer open, or closesAt has
    /// passed.
    function lapse(uint256 assertionId) external;

    /// @notice Pays the caller's whole credit in a token out to the caller.
    /// @return amount in the token's smallest unit
    function withdraw(IERC20 token) external returns (uint256 amount);

    /// @notice Zeros for one that does not exist.
    function assertionOf(uint256 assertionId) external view returns (Assertion memory);

    /// @notice Assertions so far; their ids are 1 to this.
    function assertionCount() external view returns (uint256);

    /// @notice An order's latest assertion, 0 for none.
    function latestOf(uint256 orderId) external view returns (uint256 assertionId);

    /// @notice What an account may withdraw, in the token's smallest unit.
    function creditOf(address account, IERC20 token) external view returns (uint256);
}
