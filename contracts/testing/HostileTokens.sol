// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IShipments} from "../interfaces/IShipments.sol";
import {TestToken} from "./TestToken.sol";

/// @notice Keeps one part in a hundred of each transfer.
contract FeeToken is TestToken {
    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) || to == address(0) ? 0 : value / 100;
        super._update(from, to, value - fee);
        if (fee > 0) super._update(from, address(0), fee);
    }
}

/// @notice Calls back into a contract in the middle of each transfer, and notes how that ended. It signs whatever it is
/// asked to sign, so that it can be a party itself.
contract ReentrantToken is TestToken, IERC1271 {
    address private _target;
    bytes private _request;
    bytes public answer;
    bool public hasSucceeded;

    function arm(address target, bytes calldata request) external {
        _target = target;
        _request = request;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (hasSucceeded, answer) = target.call(_request);
    }

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return IERC1271.isValidSignature.selector;
    }

    /// @notice Takes this token's own credit out, as a supplier that is a contract.
    function withdraw(IShipments shipments) external returns (uint256) {
        return shipments.withdraw(IERC20(address(this)));
    }

    /// @notice Accepts an order, as a supplier that is a contract.
    function accept(IShipments shipments, uint256 orderId) external {
        shipments.accept(orderId);
    }
}

/// @notice Answers false in place of reverting, and moves nothing.
contract FalseToken is TestToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Pays in, and then pays nothing out any more.
contract FrozenToken is TestToken {
    error Frozen();

    function transfer(address, uint256) public pure override returns (bool) {
        revert Frozen();
    }
}
