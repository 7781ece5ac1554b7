// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleSet} from "./IOracleSet.sol";
import {IQuorum} from "./IQuorum.sol";
import {IShipments} from "./IShipments.sol";

/// @title A contract that acts on what cryptlets report
/// @notice Anybody transmits a report: the signatures on it decide. Each is used once, in the order of its sequence,
/// also when acting on it failed: what was refused today is not brought up again tomorrow.
interface ICryptletConsumer is IQuorum {
    /// @notice The report `digest` (EIP-712) had its effect.
    event ReportApplied(bytes32 indexed cryptlet, uint256 indexed subject, uint64 sequence, bytes32 digest);
    /// @notice The report is used up and had no effect.
    /// @param reason what the contract reverted with, its first 256 bytes
    event ReportFailed(
        bytes32 indexed cryptlet,
        uint256 indexed subject,
        uint64 sequence,
        bytes32 digest,
        bytes reason
    );

    /// @notice The report is for another contract.
    error ConsumerNot(address got, address want);
    /// @notice The cryptlet has no say about the subject.
    error CryptletNotBound(bytes32 cryptlet, uint256 subject);
    /// @notice A report of the cryptlet about the subject with this sequence, or a later one, was used before.
    error SequenceNotForward(uint64 got, uint64 last);
    /// @notice The report could fail for want of gas alone; send more.
    error GasTooLow(uint256 got, uint256 want);
    error CallerNotSelf(address caller);
    /// @notice No device and no silence proved what the order's record says; an attested fact is none of those.
    error FactNotProved(uint256 orderId, IShipments.Cause cause);

    /// @notice Uses up a report, by anybody: ReportApplied or ReportFailed says how it went. Reverts, and leaves the
    /// report as it was, when it is not for this contract, of no bound cryptlet, not new, or not signed by a quorum,
    /// and when the gas is short.
    function transmit(Report calldata report, bytes[] calldata signatures) external;

    /// @notice Acts on a report; by this contract itself, so that a failure undoes this and no more.
    function applyReport(Report calldata report, bytes32 digest) external;

    /// @notice The last sequence used of a cryptlet about a subject, 0 for none.
    function sequenceOf(bytes32 cryptlet, uint256 subject) external view returns (uint64);

    function oracles() external view returns (IOracleSet);

    function shipments() external view returns (IShipments);
}
