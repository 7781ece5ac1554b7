// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Sha256} from "./Sha256.sol";

/// @notice Inclusion proofs of RFC 9162 trees (§2.1): SHA-256, prefixes 0x00 and 0x01, neither padded nor sorted.
library Inclusion {
    /// @notice Whether `path`, from the leaf up, leads from the leaf hash at `index` of `size` leaves to `root`
    /// (§2.1.3.2).
    function verify(
        bytes32 leaf,
        uint256 index,
        uint256 size,
        bytes32[] calldata path,
        bytes32 root
    ) internal view returns (bool) {
        if (index >= size) return false;
        uint256 fn = index;
        uint256 sn = size - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < path.length; ++i) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                node = nodeHash(path[i], node);
                // Until fn is odd; it is not 0, since where it is even it is sn, which is not.
                while (fn & 1 == 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                node = nodeHash(node, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && node == root;
    }

    /// @notice SHA-256(0x00 ‖ data) of a leaf of 32 bytes, in memory behind the free pointer, which stays where it is.
    function leafHash(bytes32 data) internal view returns (bytes32) {
        uint256 cursor;
        assembly ("memory-safe") {
            cursor := mload(0x40)
            mstore8(cursor, 0x00)
            mstore(add(cursor, 1), data)
        }
        return Sha256.digest(cursor, 33);
    }

    /// @notice SHA-256(0x01 ‖ left ‖ right), in memory behind the free pointer, which stays where it is.
    function nodeHash(bytes32 left, bytes32 right) internal view returns (bytes32) {
        uint256 cursor;
        assembly ("memory-safe") {
            cursor := mload(0x40)
            mstore8(cursor, 0x01)
            mstore(add(cursor, 1), left)
            mstore(add(cursor, 33), right)
        }
        return Sha256.digest(cursor, 65);
    }
}
