// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IQuorum} from "./IQuorum.sol";

/// @title The oracles of a consortium: n = 3f + 1 signers, of whom f may be faulty
/// @notice Each rotation makes a new config digest, and with it everything worthless that was signed before. IQuorum
/// says what is signed.
interface IOracleSet is IQuorum {
    struct Config {
        /// keccak256 over (chain id, this contract, count, signers, f), ABI-encoded.
        bytes32 digest;
        /// Configurations so far, this one included.
        uint32 count;
        /// Signers that may be faulty; f + 1 make a quorum.
        uint8 f;
        /// 3f + 1, ascending.
        address[] signers;
    }

    /// @notice Reports and checkpoints count from now on if, and only if, f + 1 of these signers sign them.
    event OraclesConfigured(bytes32 indexed configDigest, uint32 indexed count, uint8 f, address[] signers);

    error FaultyCountOutOfRange(uint8 got, uint8 least, uint8 most);
    /// @notice `want` is 3f + 1.
    error SignerCountNot(uint256 got, uint256 want);
    /// @notice The zero address, or not greater than the one before.
    error SignerInvalid(uint256 index, address signer);

    /// @notice Replaces the signers, by the consortium (a role of the AccessManager, which may impose a delay).
    /// @param signers 3f + 1, ascending, so that each is there once
    /// @param f 1 to 10
    function configure(address[] calldata signers, uint8 f) external;

    /// @notice Reverts with the reason unless a quorum signed the report and its deadline (Unix seconds, that second
    /// included) has not passed. Whether it is new, and for whom, its consumer asks.
    /// @return digest its EIP-712 digest
    function verify(Report calldata report, bytes[] calldata signatures) external view returns (bytes32 digest);

    /// @notice Reverts with the reason unless a quorum signed this head of a log.
    /// EIP-712: Checkpoint(bytes32 config,bytes32 origin,uint64 size,bytes32 root).
    /// @param origin identity of the log
    /// @param size leaves
    /// @param root RFC 9162 tree hash over them
    /// @return digest its EIP-712 digest
    function verifyCheckpoint(
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[] calldata signatures
    ) external view returns (bytes32 digest);

    /// @notice What a signer signs for a report under the present configuration.
    function digestReport(Report calldata report) external view returns (bytes32);

    /// @notice What a signer signs for a checkpoint under the present configuration.
    function digestCheckpoint(bytes32 origin, uint64 size, bytes32 root) external view returns (bytes32);

    function config() external view returns (Config memory);
}
