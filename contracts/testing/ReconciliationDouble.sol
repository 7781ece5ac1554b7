// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Says of an order what it is told to say.
contract ReconciliationDouble {
    mapping(uint256 orderId => bool) public isReconciled;

    function reconcile(uint256 orderId) external {
        isReconciled[orderId] = true;
    }
}
