// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What a quorum of oracles signs, and every reason to refuse it
/// @notice Signatures are 65 bytes r ‖ s ‖ v of secp256k1, s in the lower half, over EIP-712 digests under the domain
/// (name "Coldproof", version "1", the chain's id, the OracleSet). Each message carries the set's config digest, so
/// that it dies with the configuration that it was signed under; its signatures then recover to signers that are
/// unknown. A quorum is exactly f + 1 signatures, ordered by their signers' addresses, ascending: one of the signers is
/// honest.
interface IQuorum {
    /// @notice What a cryptlet found out, for one contract to act on.
    /// @dev Its EIP-712 type begins with the configuration (one line, broken here for want of room):
    /// Report(bytes32 config,bytes32 cryptlet,address consumer,uint256 subject,
    /// uint64 sequence,uint32 deadline,bytes payload)
    struct Report {
        /// Digest of the program that made it (ICryptletRegistry).
        bytes32 cryptlet;
        /// The one contract that it is for.
        address consumer;
        /// What it is about: an order's id.
        uint256 subject;
        /// Grows with each report of the cryptlet about the subject, from 1.
        uint64 sequence;
        /// Unix seconds; good until the end of this second.
        uint32 deadline;
        /// As the cryptlet's interface says.
        bytes payload;
    }

    /// @notice Exactly `want` (f + 1) signatures are taken.
    error SignatureCountNot(uint256 got, uint256 want);
    /// @notice Not 65 bytes.
    error SignatureSizeNot(uint256 index, uint256 gotBytes);
    /// @notice The upper twin (r, n - s) of a signature.
    error SignatureNotLowS(uint256 index, bytes32 s);
    /// @notice No key makes this signature.
    error SignatureUnrecoverable(uint256 index);
    /// @notice Signed by somebody else, or over something else: another message, chain, contract or configuration.
    error SignerUnknown(uint256 index, address signer);
    /// @notice A signer signed twice, or the signatures are not in order.
    error SignersNotAscending(uint256 index, address signer, address signerBefore);
    /// @notice Unix seconds.
    error ReportExpired(uint32 deadline, uint256 nowAt);
}
