// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Inscription} from "./Inscription.sol";
import {IOracleSet} from "./interfaces/IOracleSet.sol";
import {Quorum} from "./Quorum.sol";

/// @title The oracles of a consortium
/// @notice IOracleSet is the document of this contract.
/// @dev Who may configure is a role of the AccessManager: the consortium.
contract OracleSet is IOracleSet, AccessManaged, EIP712 {
    uint8 private constant FAULTY_COUNT_LEAST = 1;
    uint8 private constant FAULTY_COUNT_MOST = 10;

    /// The present Config, ABI-encoded: all of it is read at the price of one account, however many the signers are.
    Inscription private _inscription;
    uint32 private _count;

    /// @dev With its first signers, so that there is no set without any.
    constructor(
        address authority,
        address[] memory signers,
        uint8 f
    ) AccessManaged(authority) EIP712("Coldproof", "1") {
        _configure(signers, f);
    }

    /// @inheritdoc IOracleSet
    function configure(address[] calldata signers, uint8 f) external restricted {
        _configure(signers, f);
    }

    /// @inheritdoc IOracleSet
    function verify(Report calldata report, bytes[] calldata signatures) external view returns (bytes32 digest) {
        if (block.timestamp > report.deadline) revert ReportExpired(report.deadline, block.timestamp);
        Config memory present = config();
        digest = _hashTypedDataV4(Quorum.hashReport(present.digest, report));
        Quorum.verify(digest, signatures, present.signers, present.f);
    }

    /// @inheritdoc IOracleSet
    function verifyCheckpoint(
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[] calldata signatures
    ) external view returns (bytes32 digest) {
        Config memory present = config();
        digest = _hashTypedDataV4(Quorum.hashCheckpoint(present.digest, origin, size, root));
        Quorum.verify(digest, signatures, present.signers, present.f);
    }

    /// @inheritdoc IOracleSet
    function digestReport(Report calldata report) external view returns (bytes32) {
        return _hashTypedDataV4(Quorum.hashReport(config().digest, report));
    }

    /// @inheritdoc IOracleSet
    function digestCheckpoint(bytes32 origin, uint64 size, bytes32 root) external view returns (bytes32) {
        return _hashTypedDataV4(Quorum.hashCheckpoint(config().digest, origin, size, root));
    }

    /// @inheritdoc IOracleSet
    function config() public view returns (Config memory) {
        return abi.decode(address(_inscription).code, (Config));
    }

    function _configure(address[] memory signers, uint8 f) private {
        if (f < FAULTY_COUNT_LEAST || f > FAULTY_COUNT_MOST) {
            revert FaultyCountOutOfRange(f, FAULTY_COUNT_LEAST, FAULTY_COUNT_MOST);
        }
        if (signers.length != 3 * uint256(f) + 1) revert SignerCountNot(signers.length, 3 * uint256(f) + 1);
        address signerBefore;
        for (uint256 i = 0; i < signers.length; ++i) {
            if (signers[i] <= signerBefore) revert SignerInvalid(i, signers[i]);
            signerBefore = signers[i];
        }
        uint32 count = ++_count;
        bytes32 digest = Quorum.digestConfig(address(this), count, signers, f);
        _inscription = new Inscription(abi.encode(Config({digest: digest, count: count, f: f, signers: signers})));
        emit OraclesConfigured(digest, count, f, signers);
    }
}
