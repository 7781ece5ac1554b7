// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "./interfaces/IAgreements.sol";
import {ICryptletConsumer} from "./interfaces/ICryptletConsumer.sol";
import {IEvidence} from "./interfaces/IEvidence.sol";
import {IOracleSet} from "./interfaces/IOracleSet.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Base of a contract that acts on proved facts and on cryptlets' reports
/// @notice ICryptletConsumer is the document of this contract; examples/SpoilageFund.sol shows one that inherits it.
/// @dev Inherit, and write `_apply`: what a report does. `_isBound` says which cryptlets may speak; as it stands, those
/// that the order's agreement names. `_requireProved` asks for a fact that needs no oracle.
abstract contract CryptletConsumer is ICryptletConsumer {
    uint256 private constant REASON_BYTES_MAX = 256;
    /// For what comes after acting on a report: the event, and the reason in it.
    uint256 private constant SPARE_GAS = 15_000;

    /// @inheritdoc ICryptletConsumer
    IOracleSet public immutable oracles;
    /// @inheritdoc ICryptletConsumer
    IShipments public immutable shipments;
    IAgreements internal immutable _agreements;

    mapping(bytes32 cryptlet => mapping(uint256 subject => uint64)) private _sequences;

    constructor(IOracleSet oracles_, IShipments shipments_) {
        oracles = oracles_;
        shipments = shipments_;
        _agreements = shipments_.agreements();
    }

    /// @inheritdoc ICryptletConsumer
    function transmit(Report calldata report, bytes[] calldata signatures) external virtual {
        bytes32 digest = _use(report, signatures);
        (bool isApplied, bytes memory reason) = _tryApply(report, digest);
        if (isApplied) emit ReportApplied(report.cryptlet, report.subject, report.sequence, digest);
        else emit ReportFailed(report.cryptlet, report.subject, report.sequence, digest, reason);
    }

    /// @inheritdoc ICryptletConsumer
    function applyReport(Report calldata report, bytes32 digest) external {
        if (msg.sender != address(this)) revert CallerNotSelf(msg.sender);
        _apply(report, digest);
    }

    /// @inheritdoc ICryptletConsumer
    function sequenceOf(bytes32 cryptlet, uint256 subject) external view returns (uint64) {
        return _sequences[cryptlet][subject];
    }

    /// @dev What the report does. It is for this contract, new, bound and signed. `msg.sender` is this contract:
    /// whoever transmits is nobody in particular.
    function _apply(Report calldata report, bytes32 digest) internal virtual;

    /// @dev Gas for `_apply`, all that it gets and no less, whatever the transmitter sends: too little would let
    /// anybody use a report up without its effect.
    function _applyGas() internal view virtual returns (uint256) {
        return 200_000;
    }

    /// @dev Whether the cryptlet may speak about the subject.
    function _isBound(Report calldata report) internal view virtual returns (bool) {
        return _agreements.isBound(shipments.order(report.subject).agreementId, report.cryptlet);
    }

    /// @dev Reverts unless the last fact that ended the order, or set it aside, was proved: by its device, or by
    /// silence.
    function _requireProved(uint256 orderId) internal view returns (IShipments.Order memory order) {
        order = shipments.order(orderId);
        if (order.cause == IShipments.Cause.None || order.cause == IShipments.Cause.Attested) {
            revert FactNotProved(orderId, order.cause);
        }
    }

    /// @dev Reverts with the reason unless the evidence proves an excursion that would end the order, which is in
    /// transit or delivered. What is proved depends on nobody's word.
    function _requireProved(
        uint256 orderId,
        IEvidence.ExcursionEvidence calldata evidence
    ) internal view returns (IEvidence.Excursion memory) {
        return shipments.verifyExcursion(orderId, evidence);
    }

    /// @dev All that a report is asked, the cheapest first, and its sequence is used up.
    function _use(Report calldata report, bytes[] calldata signatures) internal returns (bytes32 digest) {
        if (report.consumer != address(this)) revert ConsumerNot(report.consumer, address(this));
        uint64 last = _sequences[report.cryptlet][report.subject];
        if (report.sequence <= last) revert SequenceNotForward(report.sequence, last);
        if (!_isBound(report)) revert CryptletNotBound(report.cryptlet, report.subject);
        digest = oracles.verify(report, signatures);
        _sequences[report.cryptlet][report.subject] = report.sequence;
    }

    /// A call of its own, so that a revert undoes what `_apply` did and not the use of the report; with a floor,
    /// because EIP-150 hands on at most 63/64; and the reason is cut, because it may be somebody else's.
    function _tryApply(
        Report calldata report,
        bytes32 digest
    ) private returns (bool isApplied, bytes memory reason) {
        bytes memory request = abi.encodeCall(ICryptletConsumer.applyReport, (report, digest));
        uint256 gasGiven = _applyGas();
        uint256 gasLeft = gasleft();
        uint256 gasNeeded = (gasGiven * 64) / 63 + SPARE_GAS;
        if (gasLeft < gasNeeded) revert GasTooLow(gasLeft, gasNeeded);
        assembly ("memory-safe") {
            isApplied := call(gasGiven, address(), 0, add(request, 0x20), mload(request), 0x00, 0x00)
            if iszero(isApplied) {
                let size := returndatasize()
                if gt(size, REASON_BYTES_MAX) {
                    size := REASON_BYTES_MAX
                }
                reason := mload(0x40)
                mstore(reason, size)
                returndatacopy(add(reason, 0x20), 0x00, size)
                mstore(0x40, add(reason, and(add(size, 0x3f), not(0x1f))))
            }
        }
    }
}
