// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Money for development chains: six decimals, and anyone makes as much as they like.
contract TestToken is ERC20 {
    constructor() ERC20("Coldproof Test Token", "CPT") {}

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @param amount in millionths of a token
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
