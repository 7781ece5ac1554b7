// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICargoCover} from "../interfaces/ICargoCover.sol";
import {IShipments} from "../interfaces/IShipments.sol";

/// @notice In Shipments' place: orders are what the test says they are.
contract OrdersDouble {
    mapping(uint256 orderId => IShipments.Order) private _orders;

    function setOrder(uint256 orderId, IShipments.Order calldata order_) external {
        _orders[orderId] = order_;
    }

    function order(uint256 orderId) external view returns (IShipments.Order memory) {
        return _orders[orderId];
    }

    /// @notice Tells the cover of a fact, as Shipments does.
    function report(ICargoCover cover, uint256 orderId, bytes32 evidenceDigest) external {
        cover.onExcursion(orderId, evidenceDigest);
    }
}
