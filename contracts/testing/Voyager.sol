// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice A party that signs whatever it is shown (ERC-1271), and does whatever it is told.
contract Voyager is IERC1271 {
    /// @param gas_ all that the call gets
    /// @return isDone false when it reverted
    function run(address target, uint256 gas_, bytes calldata request) external returns (bool isDone) {
        (isDone, ) = target.call{gas: gas_}(request);
    }

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return IERC1271.isValidSignature.selector;
    }
}
