// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "./interfaces/IAgreements.sol";
import {ICryptletRegistry} from "./interfaces/ICryptletRegistry.sol";

/// @notice What terms must be like to make sense: each rule has its error in IAgreements, and the first that is broken
/// speaks.
library TermsRules {
    uint256 private constant SUPPLIER_COUNT_MAX = 8;
    uint256 private constant LIMIT_COUNT_MAX = 4;
    uint256 private constant CRYPTLET_COUNT_MAX = 8;
    /// No wait is longer, so that no money is bound for ever.
    uint256 private constant DURATION_SEC_MAX = 366 days;
    /// As long as Shipments lets a settlement be postponed beyond the claim window: a dispute must fit in.
    uint256 private constant DISPUTE_SEC_MAX = 30 days;

    /// @notice Reverts with the first rule that the terms break.
    function requireValid(IAgreements.Terms calldata terms, ICryptletRegistry cryptlets) internal view {
        if (block.timestamp > terms.offerUntil) revert IAgreements.OfferExpired(terms.offerUntil, block.timestamp);
        if (address(terms.token).code.length == 0) revert IAgreements.TokenInvalid(terms.token);
        if (terms.price == 0) revert IAgreements.PriceZero();
        if (terms.quantity == 0) revert IAgreements.QuantityZero();
        if (terms.buyer == address(0) || terms.consignee == address(0) || terms.carrier == address(0)) {
            revert IAgreements.PartyZero(terms.buyer, terms.consignee, terms.carrier);
        }
        _requireSuppliers(terms.suppliers);
        _requireLimits(terms.limits);
        if (terms.sampleGapSecMax == 0) revert IAgreements.SampleGapZero();
        _requireDuration(terms.dispatchSecMax, 1, DURATION_SEC_MAX);
        _requireDuration(terms.transitSecMax, 1, DURATION_SEC_MAX);
        _requireDuration(terms.claimSecMax, 0, DURATION_SEC_MAX);
        if (terms.consequence == IAgreements.Consequence.Quarantine) {
            if (terms.quality.authority == address(0)) revert IAgreements.QualityAuthorityZero();
            _requireDuration(terms.quality.decisionSecMax, 1, DURATION_SEC_MAX);
        }
        if (terms.silence.monitor != address(0)) {
            _requireDuration(terms.silence.silenceSecMax, 1, DURATION_SEC_MAX);
            _requireDuration(terms.silence.challengeSecMax, 1, DURATION_SEC_MAX);
        }
        if (terms.attested.disputes != address(0)) _requireAttested(terms.attested, cryptlets);
        _requireContract(terms.cover);
        _requireContract(terms.reconciliation);
    }

    function _requireSuppliers(address[] calldata suppliers) private pure {
        uint256 count = suppliers.length;
        if (count == 0 || count > SUPPLIER_COUNT_MAX) {
            revert IAgreements.SupplierCountOutOfRange(count, SUPPLIER_COUNT_MAX);
        }
        for (uint256 i = 0; i < count; ++i) {
            if (suppliers[i] == address(0)) revert IAgreements.SupplierInvalid(i, suppliers[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (suppliers[j] == suppliers[i]) revert IAgreements.SupplierInvalid(i, suppliers[i]);
            }
        }
    }

    function _requireLimits(IAgreements.Limit[] calldata limits) private pure {
        uint256 count = limits.length;
        if (count == 0 || count > LIMIT_COUNT_MAX) revert IAgreements.LimitCountOutOfRange(count, LIMIT_COUNT_MAX);
        for (uint256 i = 0; i < count; ++i) {
            IAgreements.Limit calldata limit = limits[i];
            uint8 channel = limit.channel;
            // Supply, return, setpoint, ambient and the cargo probes of wire/channel.ts: nothing else is in degrees.
            if (!((channel >= 1 && channel <= 4) || (channel >= 16 && channel <= 31))) {
                revert IAgreements.ChannelNotTemperature(channel);
            }
            for (uint256 j = 0; j < i; ++j) {
                if (limits[j].channel == channel) revert IAgreements.ChannelRepeated(channel);
            }
            if (limit.lowerLimitCentiC >= limit.upperLimitCentiC) {
                revert IAgreements.LimitsNotOrdered(limit.lowerLimitCentiC, limit.upperLimitCentiC);
            }
            if (limit.excursionSecMin == 0) revert IAgreements.ExcursionTimeZero(channel);
        }
    }

    function _requireAttested(
        IAgreements.AttestedTerms calldata attested,
        ICryptletRegistry cryptlets
    ) private view {
        if (attested.arbiter == address(0)) revert IAgreements.ArbiterZero();
        if (attested.bond == 0) revert IAgreements.BondZero();
        _requireDuration(attested.livenessSecMin, 1, DISPUTE_SEC_MAX);
        _requireDuration(attested.arbitrationSecMax, 1, DISPUTE_SEC_MAX - attested.livenessSecMin);
        uint256 count = attested.cryptlets.length;
        if (count == 0 || count > CRYPTLET_COUNT_MAX) {
            revert IAgreements.CryptletCountOutOfRange(count, CRYPTLET_COUNT_MAX);
        }
        for (uint256 i = 0; i < count; ++i) {
            bytes32 cryptlet = attested.cryptlets[i];
            if (!cryptlets.isActive(cryptlet)) revert IAgreements.CryptletInvalid(i, cryptlet);
            for (uint256 j = 0; j < i; ++j) {
                if (attested.cryptlets[j] == cryptlet) revert IAgreements.CryptletInvalid(i, cryptlet);
            }
        }
    }

    function _requireDuration(uint256 gotSec, uint256 minSec, uint256 maxSec) private pure {
        if (gotSec < minSec || gotSec > maxSec) revert IAgreements.DurationOutOfRange(gotSec, minSec, maxSec);
    }

    /// Shipments calls it: an account without code would answer anything with nothing.
    function _requireContract(address target) private view {
        if (target != address(0) && target.code.length == 0) revert IAgreements.ContractMissing(target);
    }
}
