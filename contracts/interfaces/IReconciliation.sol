// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IShipments} from "./IShipments.sol";

/// @title Three copies of one order, held against each other before anything moves
/// @notice Buyer, supplier and carrier each submit their own copy of the order, one commitment for each field. Orders
/// whose terms name this contract are dispatched when all three are there and equal. It holds no money and traps none:
/// an order that is never reconciled is never dispatched, and is refunded after its deadline.
/// @dev A commitment is any 32 bytes that parties with the same value make the same: the value itself, or, to keep it
/// from others, keccak256(abi.encode(orderId, field, value, salt)) with one random salt of 32 bytes that only the three
/// know. With a salt for each party nothing would be equal; without one, prices are easily guessed. Who
/// submits a copy of somebody else's commitment agrees to it unread.
interface IReconciliation {
    enum Field {
        Token,
        Price,
        Quantity,
        Goods,
        PickUp,
        Delivery,
        Limits,
        Equipment
    }

    /// Bit `1 << uint8(field)` is set where the two differ; 0 when one of the two has not submitted.
    struct Differences {
        uint8 buyerSupplier;
        uint8 buyerCarrier;
        uint8 supplierCarrier;
    }

    /// @notice A party's copy, and how the copies that are there differ with it.
    event CopySubmitted(uint256 indexed orderId, address indexed party, bytes32[8] copy, Differences differences);

    error NotParty(uint256 orderId, address caller);
    /// @notice Copies are taken while the order is placed or accepted.
    error SubmissionClosed(uint256 orderId, IShipments.OrderState state);

    /// @notice Submits the caller's copy, or corrects it, by the buyer, the supplier whose turn it is, or the carrier.
    /// @param copy a commitment by Field
    function submit(uint256 orderId, bytes32[8] calldata copy) external;

    /// @notice Whether all three copies are there and equal.
    function isReconciled(uint256 orderId) external view returns (bool);

    /// @notice Where the copies differ, pair by pair.
    function differences(uint256 orderId) external view returns (Differences memory);

    /// @notice Who has not submitted: bit 0 for the buyer, 1 for the supplier whose turn it is, 2 for the carrier.
    function missing(uint256 orderId) external view returns (uint8);

    /// @notice A party's copy; zeros when it has not submitted.
    function copyOf(uint256 orderId, address party) external view returns (bytes32[8] memory);

    function shipments() external view returns (IShipments);
}
