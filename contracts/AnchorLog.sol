// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Consistency} from "./Consistency.sol";
import {Inclusion} from "./Inclusion.sol";
import {IAnchorLog} from "./interfaces/IAnchorLog.sol";
import {IOracleSet} from "./interfaces/IOracleSet.sol";

/// @title Heads of append-only logs
/// @notice IAnchorLog is the document of this contract.
contract AnchorLog is IAnchorLog {
    struct Last {
        uint64 size;
        uint32 anchoredAt;
    }

    /// @inheritdoc IAnchorLog
    IOracleSet public immutable oracles;
    /// @inheritdoc IAnchorLog
    mapping(bytes32 origin => mapping(uint64 size => bytes32)) public rootOf;

    mapping(bytes32 origin => Last) private _last;

    constructor(IOracleSet oracles_) {
        oracles = oracles_;
    }

    /// @inheritdoc IAnchorLog
    function anchor(
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[] calldata signatures,
        bytes32[] calldata path
    ) external {
        uint64 before = _last[origin].size;
        if (size <= before) revert HeadNotLarger(origin, size, before);
        oracles.verifyCheckpoint(origin, size, root, signatures);
        bytes32 rootBefore = rootOf[origin][before];
        bool isConsistent = before == 0
            ? path.length == 0
            : Consistency.verify(before, size, rootBefore, root, path);
        if (!isConsistent) revert HeadInconsistent(origin, size, root, before, rootBefore);
        _last[origin] = Last(size, uint32(block.timestamp));
        rootOf[origin][size] = root;
        emit HeadAnchored(origin, size, root, before);
    }

    /// @inheritdoc IAnchorLog
    function latest(bytes32 origin) external view returns (Head memory) {
        Last memory last = _last[origin];
        return Head(last.size, last.anchoredAt, rootOf[origin][last.size]);
    }

    /// @inheritdoc IAnchorLog
    function verifyInclusion(
        bytes32 origin,
        uint64 size,
        bytes32 digest,
        uint256 index,
        bytes32[] calldata path
    ) external view returns (bool) {
        bytes32 root = rootOf[origin][size];
        if (root == 0) revert HeadUnknown(origin, size);
        return Inclusion.verify(Inclusion.leafHash(digest), index, size, path, root);
    }
}
