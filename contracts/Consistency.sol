// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Inclusion} from "./Inclusion.sol";

/// @notice Consistency proofs of RFC 9162 trees (§2.1.4): the log only ever grew. The mirror of verifyConsistency in
/// wire/merkle.ts.
library Consistency {
    /// @notice Whether `path` shows that the tree of `first` leaves is a prefix of the tree of `second` leaves
    /// (§2.1.4.2, whose steps are named here by their numbers).
    function verify(
        uint256 first,
        uint256 second,
        bytes32 firstRoot,
        bytes32 secondRoot,
        bytes32[] calldata path
    ) internal view returns (bool) {
        // The empty tree is a prefix of all and proves nothing; the whole tree is a prefix of itself, by no path.
        if (first == 0 || first > second) return false;
        if (first == second) return path.length == 0 && firstRoot == secondRoot;
        // 1. An empty path fails.
        if (path.length == 0) return false;
        // 2. When first is a power of two, its root comes before the path.
        bool isWhole = first & (first - 1) == 0;
        bytes32 fr = isWhole ? firstRoot : path[0];
        // 3. and 4. From the last leaf of each tree up to where the first tree's last whole subtree begins.
        uint256 fn = first - 1;
        uint256 sn = second - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        // 5. and 6.
        bytes32 sr = fr;
        for (uint256 i = isWhole ? 0 : 1; i < path.length; ++i) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                fr = Inclusion.nodeHash(path[i], fr);
                sr = Inclusion.nodeHash(path[i], sr);
                // Until fn is odd; it is not 0, since where it is even it is sn, which is not.
                while (fn & 1 == 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                sr = Inclusion.nodeHash(sr, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        // 7.
        return sn == 0 && fr == firstRoot && sr == secondRoot;
    }
}
