// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IOracleSet} from "./interfaces/IOracleSet.sol";
import {Quorum} from "./Quorum.sol";

/// @title The oracles of a consortium
/// @notice IOracleSet is the document of this contract.
/// @dev Who may configure is a role of the AccessManager: the consortium.
contract OracleSet is IOracleSet, AccessManaged, EIP712 {
    uint8 private constant FAULTY_COUNT_LEAST = 1;
    uint8 private constant FAULTY_COUNT_MOST = 10;

    Config private _config;
    /// The latest configuration, by its count, that an address signs in. Its former ones need no clearing.
    mapping(address signer => uint32) private _configOf;

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
        digest = _hashTypedDataV4(Quorum.hashReport(_config.digest, report));
        Quorum.verify(digest, signatures, _config.f, _configOf, _config.count);
    }

    /// @inheritdoc IOracleSet
    function verifyCheckpoint(
        bytes32 origin,
        uint64 size,
        bytes32 root,
        bytes[] calldata signatures
    ) external view returns (bytes32 digest) {
        digest = digestCheckpoint(origin, size, root);
        Quorum.verify(digest, signatures, _config.f, _configOf, _config.count);
    }

    /// @inheritdoc IOracleSet
    function digestReport(Report calldata report) external view returns (bytes32) {
        return _hashTypedDataV4(Quorum.hashReport(_config.digest, report));
    }

    /// @inheritdoc IOracleSet
    function config() external view returns (Config memory) {
        return _config;
    }

    /// @inheritdoc IOracleSet
    function digestCheckpoint(bytes32 origin, uint64 size, bytes32 root) public view returns (bytes32) {
        return _hashTypedDataV4(Quorum.hashCheckpoint(_config.digest, origin, size, root));
    }

    function _configure(address[] memory signers, uint8 f) private {
        if (f < FAULTY_COUNT_LEAST || f > FAULTY_COUNT_MOST) {
            revert FaultyCountOutOfRange(f, FAULTY_COUNT_LEAST, FAULTY_COUNT_MOST);
        }
        if (signers.length != 3 * uint256(f) + 1) revert SignerCountNot(signers.length, 3 * uint256(f) + 1);
        uint32 count = _config.count + 1;
        for (uint256 i = 0; i < signers.length; ++i) {
            address signer = signers[i];
            if (signer == address(0) || _configOf[signer] == count) revert SignerInvalid(i, signer);
            _configOf[signer] = count;
        }
        bytes32 digest = Quorum.digestConfig(address(this), count, signers, f);
        _config = Config({digest: digest, count: count, f: f, signers: signers});
        emit OraclesConfigured(digest, count, f, signers);
    }
}
