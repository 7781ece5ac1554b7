// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice SHA-256 over memory where it lies, without the copy that Solidity's own sha256(bytes) makes.
library Sha256 {
    /// @notice SHA-256 of the `size` bytes from memory address `start` on, by the precompile at 0x02. Uses scratch
    /// space.
    function digest(uint256 start, uint256 size) internal view returns (bytes32 result) {
        assembly ("memory-safe") {
            // The precompile fails only for want of gas; then nothing may be taken for a digest.
            if iszero(staticcall(gas(), 0x02, start, size, 0x00, 0x20)) {
                revert(0x00, 0x00)
            }
            result := mload(0x00)
        }
    }
}
