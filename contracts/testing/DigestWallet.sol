// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice A company's wallet: it has signed (ERC-1271) each digest that it was told to, whatever the signature.
contract DigestWallet is IERC1271 {
    mapping(bytes32 digest => bool) private _signed;

    function sign(bytes32 digest) external {
        _signed[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return _signed[digest] ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}
