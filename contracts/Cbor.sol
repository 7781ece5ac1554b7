// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The few items of deterministic CBOR (RFC 8949 §4.2.1) that a contract writes to rebuild what a device
/// signed. Each function writes to memory from `cursor` on and returns the address after the item; up to 31 bytes
/// beyond it are overwritten.
library Cbor {
    uint256 internal constant UNSIGNED = 0x00;
    uint256 internal constant BYTE_STRING = 0x40;
    uint256 internal constant TEXT_STRING = 0x60;

    error ArgumentTooLarge(uint256 argument);

    /// @notice Head of an item: major type and argument, in the shortest form (RFC 8949 §3, §4.2.1).
    function writeHead(uint256 cursor, uint256 major, uint256 argument) internal pure returns (uint256 next) {
        if (argument < 24) {
            return _put(cursor, (major | argument) << 248, 1);
        } else if (argument <= type(uint8).max) {
            return _put(cursor, ((major | 24) << 248) | (argument << 240), 2);
        } else if (argument <= type(uint16).max) {
            return _put(cursor, ((major | 25) << 248) | (argument << 232), 3);
        } else if (argument <= type(uint32).max) {
            return _put(cursor, ((major | 26) << 248) | (argument << 216), 5);
        } else if (argument <= type(uint64).max) {
            return _put(cursor, ((major | 27) << 248) | (argument << 184), 9);
        }
        revert ArgumentTooLarge(argument);
    }

    function writeUint(uint256 cursor, uint256 value) internal pure returns (uint256 next) {
        return writeHead(cursor, UNSIGNED, value);
    }

    /// @notice A byte string of 32 bytes.
    function writeDigest(uint256 cursor, bytes32 digest) internal pure returns (uint256 next) {
        assembly ("memory-safe") {
            mstore(cursor, shl(240, 0x5820))
            mstore(add(cursor, 2), digest)
            next := add(cursor, 34)
        }
    }

    /// @notice A byte string of 20 bytes.
    function writeAddress(uint256 cursor, address account) internal pure returns (uint256 next) {
        return _put(cursor, (uint256(0x54) << 248) | (uint256(uint160(account)) << 88), 21);
    }

    function _put(uint256 cursor, uint256 word, uint256 size) private pure returns (uint256 next) {
        assembly ("memory-safe") {
            mstore(cursor, word)
            next := add(cursor, size)
        }
    }
}
