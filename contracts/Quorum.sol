// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IQuorum} from "./interfaces/IQuorum.sol";

/// @title What a quorum signs, and whether it did
/// @notice IQuorum is the document of this library.
library Quorum {
    bytes32 private constant REPORT_TYPE =
        keccak256(
            "Report(bytes32 config,bytes32 cryptlet,address consumer,uint256 subject,uint64 sequence,uint32 deadline,"
            "bytes payload)"
        );
    bytes32 private constant CHECKPOINT_TYPE =
        keccak256("Checkpoint(bytes32 config,bytes32 origin,uint64 size,bytes32 root)");

    /// @notice What sets a configuration apart from every other one, of any OracleSet on any chain.
    function digestConfig(
        address oracleSet,
        uint32 count,
        address[] memory signers,
        uint8 f
    ) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, oracleSet, count, signers, f));
    }

    /// @notice EIP-712 struct hash of a report under a configuration.
    function hashReport(bytes32 config, IQuorum.Report calldata report) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    REPORT_TYPE,
                    config,
                    report.cryptlet,
                    report.consumer,
                    report.subject,
                    report.sequence,
                    report.deadline,
                    keccak256(report.payload)
                )
            );
    }

    /// @notice EIP-712 struct hash of a log's head under a configuration.
    function hashCheckpoint(
        bytes32 config,
        bytes32 origin,
        uint64 size,
        bytes32 root
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(CHECKPOINT_TYPE, config, origin, size, root));
    }

    /// @notice Reverts with the reason unless exactly f + 1 of the signers signed the digest.
    /// @param signers ascending, as the signatures' are: one walk over both finds them
    function verify(bytes32 digest, bytes[] calldata signatures, address[] memory signers, uint256 f) internal pure {
        uint256 count = signatures.length;
        if (count != f + 1) revert IQuorum.SignatureCountNot(count, f + 1);
        uint256 next;
        for (uint256 i = 0; i < count; ++i) {
            address signer = _recover(digest, signatures[i], i);
            uint256 before = next;
            while (next < signers.length && signers[next] != signer) ++next;
            if (next == signers.length) _refuse(signers, i, signer, before);
            ++next;
        }
    }

    /// Not among the signers after the one before: among the others, or not at all.
    function _refuse(address[] memory signers, uint256 index, address signer, uint256 before) private pure {
        for (uint256 i = 0; i < before; ++i) {
            if (signers[i] == signer) revert IQuorum.SignersNotAscending(index, signer, signers[before - 1]);
        }
        revert IQuorum.SignerUnknown(index, signer);
    }

    function _recover(bytes32 digest, bytes calldata signature, uint256 index) private pure returns (address signer) {
        ECDSA.RecoverError refused;
        bytes32 value;
        (signer, refused, value) = ECDSA.tryRecoverCalldata(digest, signature);
        if (refused == ECDSA.RecoverError.NoError) return signer;
        if (refused == ECDSA.RecoverError.InvalidSignatureLength) {
            revert IQuorum.SignatureSizeNot(index, uint256(value));
        }
        if (refused == ECDSA.RecoverError.InvalidSignatureS) revert IQuorum.SignatureNotLowS(index, value);
        revert IQuorum.SignatureUnrecoverable(index);
    }
}
