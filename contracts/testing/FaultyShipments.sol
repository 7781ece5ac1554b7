// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Shipments} from "../Shipments.sol";
import {IAgreements} from "../interfaces/IAgreements.sol";
import {IDeviceRegistry} from "../interfaces/IDeviceRegistry.sol";
import {IFleet} from "../interfaces/IFleet.sol";

/// @notice Orders with doors that they must not have: through each, one invariant is broken for a test to see.
contract FaultyShipments is Shipments {
    constructor(
        address authority,
        IAgreements agreements_,
        IDeviceRegistry registry_,
        IFleet fleet_
    ) Shipments(authority, agreements_, registry_, fleet_) {}

    /// @notice Pays the supplier out of nothing.
    function payAgain(uint256 orderId) external {
        _creditSupplier(orderId, _orders[orderId], _termsOf(_orders[orderId]), 1);
    }

    /// @notice Puts an order into any state, on any truck.
    function force(uint256 orderId, OrderState state, bytes32 truck) external {
        _orders[orderId].state = state;
        _orders[orderId].truck = truck;
    }

    /// @notice A second order on the money of one, in place of `former`.
    function openAgain(uint256 orderId, uint48 former) external {
        (, Record storage record) = _open(_orders[orderId].agreementId);
        record.replacementOf = former;
    }
}
