// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Evidence} from "./Evidence.sol";
import {IEvidence} from "./interfaces/IEvidence.sol";
import {IHeartbeat} from "./interfaces/IHeartbeat.sol";

/// @notice Checks that a device signed a batch, whatever is in it: the device lived at the batch's last second. The
/// mirror of wire/heartbeat.ts: the same checks in the same order.
library Heartbeat {
    /// @notice Reverts with the reason when the batch is no sign of life of `device`.
    /// @return lastAt Unix seconds of the batch's latest sample, or of its sealing
    /// @return digest the batch's
    function verify(
        IHeartbeat.HeartbeatProof calldata proof,
        bytes32 device
    ) internal view returns (uint32 lastAt, bytes32 digest) {
        bytes32 signer = Evidence.deviceOf(proof.x, proof.y);
        if (signer != device) revert IEvidence.DeviceNotAssigned(signer, device);
        return (proof.batch.last, Evidence.verifyBatch(proof.batch, device, proof.x, proof.y));
    }
}
