// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {OrderBook} from "../OrderBook.sol";
import {IShipments} from "../interfaces/IShipments.sol";

/// @notice Doors that orders must not have: through each, one invariant is broken for a test to see. A test has
/// this code stand where Shipments is for one block, and so on the storage of that.
contract OrderDoors {
    /// The first three slots, as OrderBook has them; in the first, more than the count.
    uint48 private _orderCount;
    mapping(uint256 orderId => OrderBook.Record) private _orders;
    mapping(address account => mapping(IERC20 token => uint256)) private _credits;

    /// @notice Credits one unit of the token out of nothing.
    function credit(address account, IERC20 token) external {
        _credits[account][token] += 1;
    }

    /// @notice Puts an order into any state, on any truck.
    function force(uint256 orderId, IShipments.OrderState state, bytes32 truck) external {
        _orders[orderId].state = state;
        _orders[orderId].truck = truck;
    }

    /// @notice A second order on the money of one, in place of `former`.
    function openAgain(uint256 orderId, uint48 former) external {
        OrderBook.Record storage record = _orders[++_orderCount];
        record.state = IShipments.OrderState.Placed;
        record.agreementId = _orders[orderId].agreementId;
        record.placedAt = uint32(block.timestamp);
        record.replacementOf = former;
    }
}
