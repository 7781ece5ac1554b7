// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Bytes kept as the code of an account of their own: nothing can change them, and all are read at the price of
/// one account. They must begin with a zero byte (STOP), as the ABI encoding of a struct does, so that to call them
/// does nothing.
contract Inscription {
    constructor(bytes memory content) {
        assembly ("memory-safe") {
            return(add(content, 0x20), mload(content))
        }
    }
}
