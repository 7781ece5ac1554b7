// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IHeartbeat} from "./IHeartbeat.sol";
import {IShipments} from "./IShipments.sol";

/// @title Devices that have fallen silent
/// @notice A reading that is not there cannot be signed, so silence is proved by absence: who says that a device is
/// silent is right unless anyone shows, in time, what the device signed. Any batch of the device's is a sign of life.
/// Terms name this contract as their monitor. STATES.md draws the states. Times are Unix seconds; a deadline's own
/// second still belongs to the time before.
interface ISilence is IHeartbeat {
    enum State {
        /// Not watched: not in transit, or its terms name another monitor or none.
        None,
        /// The last sign of the device is recent enough, as far as is known here.
        Monitored,
        /// Reported as silent; anyone may disprove it.
        Unmonitored,
        /// Silence has ended the order, or set it aside.
        Breached
    }

    struct Watch {
        State state;
        /// The last sign of life that was proved here; the dispatch, or the last release, where that is later. 0 when
        /// not watched.
        uint32 seenAt;
        /// When the device was reported as silent; 0 while it is not.
        uint32 unmonitoredAt;
        /// The last second in which nobody may report the silence (Monitored), or of the challenge (Unmonitored); else
        /// 0.
        uint256 deadlineAt;
    }

    /// @notice The device lived at `seenAt`: the last second of the batch with this digest.
    event HeartbeatProved(uint256 indexed orderId, bytes32 indexed digest, uint32 seenAt);
    /// @notice The device is said to be silent since `seenAt`. Until `challengeUntil`, that second included, anyone may
    /// disprove it.
    event SilenceReported(
        uint256 indexed orderId,
        bytes32 indexed device,
        uint32 seenAt,
        uint32 unmonitoredAt,
        uint256 challengeUntil,
        address indexed reporter
    );
    /// @notice The order is monitored again: the device lived at `seenAt`.
    event SilenceDisproved(uint256 indexed orderId, bytes32 indexed digest, uint32 seenAt);
    /// @notice Nobody disproved the silence. `factDigest` is its identity: keccak256 of the ABI encoding of
    /// ("coldproof v1 silence", chain id, this contract, orderId, seenAt, unmonitoredAt).
    event SilenceBreached(
        uint256 indexed orderId,
        bytes32 indexed factDigest,
        uint32 seenAt,
        uint32 unmonitoredAt,
        address indexed reporter
    );

    /// @notice Only an order in transit is watched.
    error OrderNotInTransit(uint256 orderId, IShipments.OrderState got);
    /// @notice The order's terms name another monitor, or zero for none.
    error MonitorNot(uint256 orderId, address monitor);
    error SilenceStateNot(uint256 orderId, State got, State want);
    /// @notice The device has not been silent for the time of the terms: it may be until `deadlineAt`.
    error SilenceTooShort(uint256 orderId, uint256 deadlineAt, uint256 nowAt);
    /// @notice The silence can be disproved until `challengeUntil`.
    error ChallengeNotOver(uint256 orderId, uint256 challengeUntil, uint256 nowAt);
    error ChallengeOver(uint256 orderId, uint256 challengeUntil, uint256 nowAt);
    /// @notice The batch says nothing new: the device was known to live at `seenAt`.
    error HeartbeatNotNewer(uint256 orderId, uint32 lastAt, uint32 seenAt);
    /// @notice The batch ends too long before the report to disprove it.
    error HeartbeatTooOld(uint256 orderId, uint32 lastAt, uint256 lastAtMin);
    error HeartbeatInFuture(uint256 orderId, uint32 lastAt, uint256 nowAt);
    /// @notice The device is not enrolled, or was revoked, at the time of the batch.
    error DeviceNotValid(bytes32 device, uint32 lastAt);

    /// @notice Shows that the order's device lived at the end of a batch, later than was known; by anyone.
    function proveHeartbeat(uint256 orderId, HeartbeatProof calldata proof) external;

    /// @notice Says that the device has been silent for longer than the terms allow, by anyone. The challenge begins.
    function reportSilence(uint256 orderId) external;

    /// @notice Shows, by anyone and until the challenge is over, a batch of the device that ends within the terms'
    /// silence before the report, or after it. The order is monitored again.
    function disprove(uint256 orderId, HeartbeatProof calldata proof) external;

    /// @notice Applies the terms' consequence once the challenge is over, by anyone.
    /// @return replacementId the order that takes over the escrow, 0 for none
    function declareBreach(uint256 orderId) external returns (uint256 replacementId);

    /// @notice How the order is watched.
    function watchOf(uint256 orderId) external view returns (Watch memory);

    function shipments() external view returns (IShipments);
}
