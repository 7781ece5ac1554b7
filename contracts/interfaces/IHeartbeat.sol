// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IEvidence} from "./IEvidence.sol";

/// @title The form of a sign of life
/// @notice Any batch of a device is one, with or without series; no sample is needed. wire/WIRE.md ("Sign of life") has
/// the bytes, wire/heartbeat.ts refuses with the same names: DeviceNotAssigned, BatchFlagged, SignatureNotLowS,
/// SignatureInvalid.
interface IHeartbeat is IEvidence {
    struct HeartbeatProof {
        /// The device's P-256 key; the device is SHA-256(x ‖ y).
        bytes32 x;
        bytes32 y;
        SealedBatch batch;
    }
}
