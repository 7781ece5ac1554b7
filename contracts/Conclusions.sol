// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Cumulative} from "./Cumulative.sol";
import {Evidence} from "./Evidence.sol";
import {Quarantine} from "./Quarantine.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @notice From facts to what the terms make of them. A device's own evidence is judged here; other facts by the
/// contracts that the terms name.
abstract contract Conclusions is Quarantine {
    /// What evidence is judged by, in one slot: a check reads it and the order's first two.
    struct Allowance {
        uint8 channel;
        int16 lowerLimitCentiC;
        int16 upperLimitCentiC;
        uint32 excursionSecMin;
        uint32 cumulativeSecMin;
        uint16 sampleGapSecMax;
    }

    mapping(uint256 agreementId => mapping(uint8 channel => Allowance)) private _allowances;

    /// @inheritdoc IShipments
    function verifyExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external view returns (Excursion memory excursion) {
        (excursion, ) = _verify(orderId, evidence);
    }

    /// @inheritdoc IShipments
    function reportExcursion(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) external nonReentrant returns (uint256 replacementId) {
        (Excursion memory excursion, bytes32 digest) = _verify(orderId, evidence);
        _emitProved(orderId, digest, evidence.channel, excursion);
        Record storage record = _orders[orderId];
        return _conclude(orderId, record, _termsOf(record), digest, Cause.Excursion);
    }

    /// @inheritdoc IShipments
    function reportCumulative(
        uint256 orderId,
        ExcursionEvidence[] calldata runs
    ) external nonReentrant returns (uint256 replacementId) {
        Record storage record = _requireJudged(orderId);
        if (runs.length == 0) revert RunCountOutOfRange(0, Cumulative.RUN_COUNT_MAX);
        uint8 channel = runs[0].channel;
        (Evidence.Claim memory claim, uint32 cumulativeSecMin) = _claimOf(record, channel);
        if (cumulativeSecMin == 0) revert CumulativeNotInTerms(channel);
        (Excursion memory excursion, uint256 endedAt, bytes32 digest) = Cumulative.verify(
            runs,
            claim,
            cumulativeSecMin
        );
        _requireDeviceValid(claim.device, excursion.startedAt, endedAt);
        _emitProved(orderId, digest, channel, excursion);
        return _conclude(orderId, record, _termsOf(record), digest, Cause.CumulativeExcursion);
    }

    /// @inheritdoc IShipments
    function conclude(
        uint256 orderId,
        bytes32 factDigest,
        Cause cause
    ) external nonReentrant returns (uint256 replacementId) {
        Record storage record = _requireJudged(orderId);
        IAgreements.Terms memory terms = _termsOf(record);
        address want = cause == Cause.Silence
            ? terms.silence.monitor
            : cause == Cause.Attested
                ? terms.attested.disputes
                : address(0);
        if (msg.sender != want) revert CauseNotOfCaller(cause, msg.sender, want);
        return _conclude(orderId, record, terms, factDigest, cause);
    }

    /// @inheritdoc IShipments
    function digestEvidence(ExcursionEvidence calldata evidence) external view returns (bytes32) {
        return Evidence.digestOf(evidence);
    }

    /// Keeps what evidence under the agreement is judged by.
    function _allow(uint256 agreementId, IAgreements.Terms memory terms) internal {
        for (uint256 i = 0; i < terms.limits.length; ++i) {
            IAgreements.Limit memory limit = terms.limits[i];
            _allowances[agreementId][limit.channel] = Allowance({
                channel: limit.channel,
                lowerLimitCentiC: limit.lowerLimitCentiC,
                upperLimitCentiC: limit.upperLimitCentiC,
                excursionSecMin: limit.excursionSecMin,
                cumulativeSecMin: limit.cumulativeSecMin,
                sampleGapSecMax: terms.sampleGapSecMax
            });
        }
    }

    function _conclude(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms,
        bytes32 factDigest,
        Cause cause
    ) private returns (uint256 replacementId) {
        record.cause = cause;
        record.evidenceDigest = factDigest;
        if (terms.consequence == IAgreements.Consequence.Reorder) return _cancelOrHold(orderId, record, terms);
        _quarantine(orderId, record, terms);
    }

    /// Guards in this order: the order's state, the evidence, and the device's validity over the run that it proved.
    function _verify(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) private view returns (Excursion memory excursion, bytes32 digest) {
        Record storage record = _orders[orderId];
        if (!_isJudged(record.state)) {
            digest = Evidence.digestOf(evidence);
            if (record.evidenceDigest == digest) revert EvidenceAlreadyUsed(digest);
            revert OrderStateNot(orderId, record.state, OrderState.InTransit);
        }
        (Evidence.Claim memory claim, ) = _claimOf(record, evidence.channel);
        (excursion, digest) = Evidence.verify(evidence, claim);
        _requireDeviceValid(claim.device, excursion.startedAt, uint256(excursion.startedAt) + excursion.durationSec);
    }

    /// What the order's evidence about a channel must prove: outside the limits, after the dispatch or the last
    /// release, until now or the delivery.
    function _claimOf(
        Record storage record,
        uint8 channel
    ) private view returns (Evidence.Claim memory claim, uint32 cumulativeSecMin) {
        Allowance memory allowance = _allowances[record.agreementId][channel];
        if (allowance.channel == 0) revert ChannelNotInTerms(channel, 0);
        cumulativeSecMin = allowance.cumulativeSecMin;
        claim.device = record.device;
        claim.dispatchedAt = record.judgedFrom;
        claim.nowAt = record.deliveredAt == 0 ? block.timestamp : record.deliveredAt;
        claim.terms = ExcursionTerms({
            channel: channel,
            lowerLimitCentiC: allowance.lowerLimitCentiC,
            upperLimitCentiC: allowance.upperLimitCentiC,
            excursionSecMin: allowance.excursionSecMin,
            sampleGapSecMax: allowance.sampleGapSecMax
        });
    }

    function _requireDeviceValid(bytes32 device, uint256 from, uint256 until) private view {
        if (!registry.isValidDuring(device, from, until)) revert DeviceNotValid(device, from, until);
    }

    function _emitProved(uint256 orderId, bytes32 digest, uint8 channel, Excursion memory excursion) private {
        emit ExcursionProved(
            orderId,
            digest,
            channel,
            excursion.startedAt,
            excursion.durationSec,
            excursion.peakCentiC,
            msg.sender
        );
    }
}
