// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Cbor} from "../Cbor.sol";
import {Sha256} from "../Sha256.sol";

/// @notice The libraries that write to memory, behind calls, with arguments that no evidence has.
contract EncodingProbe {
    /// @notice The head of a CBOR item.
    function writeHead(uint256 major, uint256 argument) external pure returns (bytes memory head) {
        head = new bytes(64);
        uint256 start;
        assembly ("memory-safe") {
            start := add(head, 0x20)
        }
        uint256 next = Cbor.writeHead(start, major, argument);
        assembly ("memory-safe") {
            mstore(head, sub(next, start))
        }
    }

    /// @notice SHA-256 of the bytes, in memory.
    function digest(bytes memory content) external view returns (bytes32) {
        uint256 start;
        assembly ("memory-safe") {
            start := add(content, 0x20)
        }
        return Sha256.digest(start, content.length);
    }
}
