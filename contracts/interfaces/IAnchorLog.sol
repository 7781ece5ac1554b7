// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleSet} from "./IOracleSet.sol";
import {IQuorum} from "./IQuorum.sol";

/// @title Heads of append-only logs, kept on chain
/// @notice Anyone brings a head that a quorum of oracles signed, with the proof that the log only grew since the last
/// one: the chain checks it by itself, so that no quorum can rewrite what is anchored. From then on, that a batch is in
/// the log is a fact that a contract can ask for. Logs are RFC 9162 trees whose leaves are batch digests
/// (wire/WIRE.md).
/// @dev Every head is kept, for one new slot each. A proof against a head so stays good for ever, whatever is anchored
/// while its transaction is on the way.
interface IAnchorLog is IQuorum {
    struct Head {
        /// Leaves in the tree; 0 when nothing is anchored.
        uint64 size;
        /// Unix seconds.
        uint32 anchoredAt;
        /// RFC 9162 tree hash over the leaves.
        bytes32 root;
    }

    event HeadAnchored(bytes32 indexed origin, uint64 indexed size, bytes32 root, uint64 sizeBefore);

    /// @notice A head moves only forward: `got` leaves are no more than the `anchored` ones.
    error HeadNotLarger(bytes32 origin, uint64 got, uint64 anchored);
    /// @notice The path does not show that the tree of `anchored` leaves is a prefix of the new one (RFC 9162
    /// §2.1.4.2), or there is a path where nothing is anchored yet.
    error HeadInconsistent(bytes32 origin, uint64 got, bytes32 gotRoot, uint64 anchored, bytes32 anchoredRoot);
    /// @notice No head of this size is anchored.
    error HeadUnknown(bytes32 origin, uint64 size);

    /// @notice Anchors the next head of a log, by anyone.
    /// @param origin the log: SHA-256 of its Ed25519 public key, as a receipt names it
    /// @param size leaves, more than in the last head
    /// @param root RFC 9162 tree hash over them
    /// @param signatures of a quorum, over IOracleSet.digestCheckpoint(origin, size, root)
    /// @param path RFC 9162 consistency proof from the last head to this one; empty for the first
    function anchor(
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[] calldata signatures,
        bytes32[] calldata path
    ) external;

    /// @notice The last head of a log; zeros when nothing is anchored.
    function latest(bytes32 origin) external view returns (Head memory);

    /// @notice The root of the head with `size` leaves; zero when no such head is anchored.
    function rootOf(bytes32 origin, uint64 size) external view returns (bytes32);

    /// @notice Whether a batch is leaf `index` of the log, by the head of `size` leaves, which need not be the last
    /// one. Reverts with HeadUnknown when that is not anchored.
    /// @param digest the batch's, which is hashed as a leaf here
    /// @param path RFC 9162 inclusion proof, from the leaf up
    function verifyInclusion(
        bytes32 origin,
        uint64 size,
        bytes32 digest,
        uint256 index,
        bytes32[] calldata path
    ) external view returns (bool);

    function oracles() external view returns (IOracleSet);
}
