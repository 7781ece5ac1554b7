// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICryptletRegistry} from "./interfaces/ICryptletRegistry.sol";

/// @title Cryptlets: the programs whose reports contracts may act on
/// @notice ICryptletRegistry is the document of this contract.
contract CryptletRegistry is ICryptletRegistry {
    mapping(bytes32 cryptlet => Cryptlet) private _cryptlets;
    /// The cryptlet of a name's latest version; its publisher owns the name.
    mapping(bytes32 name => bytes32 cryptlet) private _latest;

    /// @inheritdoc ICryptletRegistry
    function publish(
        bytes32 cryptlet,
        bytes32 name,
        uint32 version,
        bytes32 interfaceId,
        bytes32 manifestDigest
    ) external {
        if (cryptlet == 0 || name == 0 || interfaceId == 0 || manifestDigest == 0) {
            revert CryptletIncomplete(cryptlet, name, interfaceId, manifestDigest);
        }
        Cryptlet storage record = _cryptlets[cryptlet];
        if (record.publisher != address(0)) revert CryptletAlreadyPublished(cryptlet, record.publisher);
        Cryptlet storage latest = _cryptlets[_latest[name]];
        if (latest.publisher != address(0) && latest.publisher != msg.sender) {
            revert NameNotOfPublisher(name, msg.sender, latest.publisher);
        }
        if (version <= latest.version) revert VersionNotForward(name, version, latest.version);
        _latest[name] = cryptlet;
        _cryptlets[cryptlet] = Cryptlet({
            publisher: msg.sender,
            publishedAt: uint32(block.timestamp),
            retiredAt: 0,
            version: version,
            name: name,
            interfaceId: interfaceId,
            manifestDigest: manifestDigest
        });
        emit CryptletPublished(cryptlet, name, version, msg.sender, interfaceId, manifestDigest);
    }

    /// @inheritdoc ICryptletRegistry
    function retire(bytes32 cryptlet) external {
        Cryptlet storage record = _cryptlets[cryptlet];
        if (record.publisher == address(0)) revert CryptletUnknown(cryptlet);
        if (record.publisher != msg.sender) revert NotPublisher(msg.sender, record.publisher);
        if (record.retiredAt != 0) revert CryptletAlreadyRetired(cryptlet, record.retiredAt);
        record.retiredAt = uint32(block.timestamp);
        emit CryptletRetired(cryptlet, record.name, record.version, msg.sender);
    }

    /// @inheritdoc ICryptletRegistry
    function cryptletOf(bytes32 cryptlet) external view returns (Cryptlet memory) {
        return _cryptlets[cryptlet];
    }

    /// @inheritdoc ICryptletRegistry
    function latestOf(bytes32 name) external view returns (uint32 version, bytes32 cryptlet) {
        cryptlet = _latest[name];
        version = _cryptlets[cryptlet].version;
    }

    /// @inheritdoc ICryptletRegistry
    function isPublished(bytes32 cryptlet) external view returns (bool) {
        return _cryptlets[cryptlet].publisher != address(0);
    }

    /// @inheritdoc ICryptletRegistry
    function isActive(bytes32 cryptlet) external view returns (bool) {
        Cryptlet storage record = _cryptlets[cryptlet];
        return record.publisher != address(0) && record.retiredAt == 0;
    }
}
