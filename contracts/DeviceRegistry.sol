// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Cbor} from "./Cbor.sol";
import {Evidence} from "./Evidence.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";

/// @title Devices, their keys, and when to believe them
/// @notice IDeviceRegistry is the document of this contract.
contract DeviceRegistry is IDeviceRegistry {
    uint32 private constant NEVER = type(uint32).max;
    uint256 private constant ENROLMENT_VERSION = 1;
    uint256 private constant ROTATION_VERSION = 1;

    mapping(bytes32 device => Device) private _devices;
    /// @inheritdoc IDeviceRegistry
    mapping(bytes32 device => bytes32) public successorOf;

    /// @inheritdoc IDeviceRegistry
    function enrol(
        bytes32 x,
        bytes32 y,
        bytes11 asset,
        bytes32 calibrationDigest,
        uint32 calibrationUntil,
        bytes32 r,
        bytes32 s
    ) external returns (bytes32 device) {
        if (!isContainerNumber(asset)) revert AssetInvalid(asset);
        if (calibrationUntil <= block.timestamp) revert CalibrationExpired(calibrationUntil, block.timestamp);
        device = _newDevice(x, y, asset, r, s);
        uint32 validFrom = uint32(block.timestamp);
        _devices[device] = Device({
            owner: msg.sender,
            validFrom: validFrom,
            revokedFrom: NEVER,
            calibrationUntil: calibrationUntil,
            asset: asset,
            x: x,
            y: y,
            calibrationDigest: calibrationDigest
        });
        emit DeviceEnrolled(device, msg.sender, asset, x, y, validFrom, calibrationDigest, calibrationUntil);
    }

    /// @inheritdoc IDeviceRegistry
    function revoke(bytes32 device, uint32 from) external {
        Device storage record = _devices[device];
        if (record.owner == address(0)) revert DeviceUnknown(device);
        if (record.owner != msg.sender) revert NotDeviceOwner(msg.sender, record.owner);
        if (from >= record.revokedFrom) revert RevocationNotEarlier(from, record.revokedFrom);
        record.revokedFrom = from;
        emit DeviceRevoked(device, msg.sender, from);
    }

    /// @inheritdoc IDeviceRegistry
    function rotate(
        bytes32 device,
        uint32 from,
        bytes32 x,
        bytes32 y,
        Signature calldata consent,
        Signature calldata possession
    ) external returns (bytes32 successor) {
        Device memory record = _devices[device];
        if (record.owner == address(0)) revert DeviceUnknown(device);
        if (record.owner != msg.sender) revert NotDeviceOwner(msg.sender, record.owner);
        if (successorOf[device] != 0) revert DeviceAlreadyRotated(device, successorOf[device]);
        if (from < record.validFrom) revert RotationBeforeEnrolment(from, record.validFrom);
        if (from >= record.revokedFrom) revert RevocationNotEarlier(from, record.revokedFrom);
        successor = _newDevice(x, y, record.asset, possession.r, possession.s);
        if (!P256.verify(_rotationMessage(successor, from), consent.r, consent.s, record.x, record.y)) {
            revert RotationConsentInvalid(device, successor, from);
        }
        successorOf[device] = successor;
        _devices[device].revokedFrom = from;
        (record.validFrom, record.revokedFrom, record.x, record.y) = (from, NEVER, x, y);
        _devices[successor] = record;
        emit DeviceEnrolled(
            successor, msg.sender, record.asset, x, y, from, record.calibrationDigest, record.calibrationUntil
        );
        emit DeviceRevoked(device, msg.sender, from);
        emit DeviceRotated(device, successor, msg.sender, from);
    }

    /// @inheritdoc IDeviceRegistry
    function deviceOf(bytes32 device) external view returns (Device memory) {
        return _devices[device];
    }

    /// @inheritdoc IDeviceRegistry
    function isValidDuring(bytes32 device, uint256 from, uint256 until) external view returns (bool) {
        Device storage record = _devices[device];
        return record.owner != address(0) && from <= until && from >= record.validFrom && until < record.revokedFrom;
    }

    /// @inheritdoc IDeviceRegistry
    function isContainerNumber(bytes11 asset) public pure returns (bool) {
        // ISO 6346: value of each of ten characters times 2^position, mod 11, mod 10, is the check digit.
        uint256 sum = 0;
        for (uint256 i = 0; i < 11; ++i) {
            uint256 code = uint8(asset[i]);
            if (i < 4 ? code < 0x41 || code > 0x5a : code < 0x30 || code > 0x39) return false;
            if (i == 3 && code != 0x55 && code != 0x4a && code != 0x5a) return false;
            if (i < 10) sum += _characterValue(code) << i;
        }
        return (sum % 11) % 10 == uint8(asset[10]) - 0x30;
    }

    /// Of a key that was never enrolled, and that consents to be the caller's for this container.
    function _newDevice(bytes32 x, bytes32 y, bytes11 asset, bytes32 r, bytes32 s)
        private
        view
        returns (bytes32 device)
    {
        if (!P256.isValidPublicKey(x, y)) revert KeyNotOnCurve(x, y);
        device = Evidence.deviceOf(x, y);
        address owner = _devices[device].owner;
        if (owner != address(0)) revert DeviceAlreadyEnrolled(device, owner);
        if (!P256.verify(_enrolmentMessage(msg.sender, asset), r, s, x, y)) {
            revert ConsentInvalid(device, msg.sender, asset);
        }
    }

    /// Digits as they are; A = 10 and on, but never a multiple of 11.
    function _characterValue(uint256 code) private pure returns (uint256) {
        if (code < 0x41) return code - 0x30;
        uint256 value = code - 0x41 + 10;
        return value + (value - 1) / 10;
    }

    /// What the device signs, as wire/preimage.ts has it (RFC 9052 §4.4):
    ///   ["Signature1", h'a10126', 'coldproof v1 enrolment', bstr of [1, chainId, registry, owner, asset]]
    function _enrolmentMessage(address owner, bytes11 asset) private view returns (bytes32) {
        bytes memory prefix = hex"846a5369676e61747572653143a1012656636f6c6470726f6f6620763120656e726f6c6d656e7458";
        // 56 bytes and a chain id of 1 to 9, so the length is one byte after 0x58; 31 more for what Cbor overwrites.
        bytes memory enrolment = new bytes(96);
        uint256 start;
        assembly ("memory-safe") {
            start := add(enrolment, 0x20)
            mstore8(start, 0x85)
        }
        uint256 cursor = Cbor.writeUint(start + 1, ENROLMENT_VERSION);
        cursor = Cbor.writeUint(cursor, block.chainid);
        cursor = Cbor.writeAddress(cursor, address(this));
        cursor = Cbor.writeAddress(cursor, owner);
        cursor = Cbor.writeHead(cursor, Cbor.TEXT_STRING, 11);
        assembly ("memory-safe") {
            mstore(cursor, asset)
            mstore(enrolment, sub(add(cursor, 11), start))
        }
        return sha256(bytes.concat(prefix, bytes1(uint8(enrolment.length)), enrolment));
    }

    /// What the old key signs, likewise:
    ///   ["Signature1", h'a10126', 'coldproof v1 rotation', bstr of [1, chainId, registry, successor, from]]
    function _rotationMessage(bytes32 successor, uint32 from) private view returns (bytes32) {
        bytes memory prefix = hex"846a5369676e61747572653143a1012655636f6c6470726f6f6620763120726f746174696f6e58";
        // 58 bytes, a chain id of 1 to 9 and a time of 1 to 5, so the length is one byte after 0x58; 31 more for Cbor.
        bytes memory rotation = new bytes(104);
        uint256 start;
        assembly ("memory-safe") {
            start := add(rotation, 0x20)
            mstore8(start, 0x85)
        }
        uint256 cursor = Cbor.writeUint(start + 1, ROTATION_VERSION);
        cursor = Cbor.writeUint(cursor, block.chainid);
        cursor = Cbor.writeAddress(cursor, address(this));
        cursor = Cbor.writeDigest(cursor, successor);
        cursor = Cbor.writeUint(cursor, from);
        assembly ("memory-safe") {
            mstore(rotation, sub(cursor, start))
        }
        return sha256(bytes.concat(prefix, bytes1(uint8(rotation.length)), rotation));
    }
}
