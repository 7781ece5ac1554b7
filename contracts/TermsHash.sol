// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "./interfaces/IAgreements.sol";

/// @notice hashStruct of an agreement's terms, as EIP-712 defines it.
library TermsHash {
    bytes private constant ATTESTED_TYPE =
        "AttestedTerms(address disputes,address arbiter,uint128 bond,uint32 livenessSecMin,uint32 arbitrationSecMax,"
        "bytes32[] cryptlets)";
    bytes private constant LIMIT_TYPE =
        "Limit(uint8 channel,int16 lowerLimitCentiC,int16 upperLimitCentiC,uint32 excursionSecMin,"
        "uint32 cumulativeSecMin)";
    bytes private constant QUALITY_TYPE = "QualityTerms(address authority,uint32 decisionSecMax)";
    bytes private constant SILENCE_TYPE =
        "SilenceTerms(address monitor,uint32 silenceSecMax,uint32 challengeSecMax)";
    bytes private constant TERMS_TYPE =
        "Terms(address token,uint128 price,uint64 quantity,address buyer,address consignee,address carrier,"
        "address[] suppliers,Limit[] limits,uint16 sampleGapSecMax,uint32 dispatchSecMax,uint32 transitSecMax,"
        "uint32 claimSecMax,uint8 consequence,uint8 reorderCountMax,QualityTerms quality,SilenceTerms silence,"
        "AttestedTerms attested,address cover,address reconciliation,uint32 offerUntil,bytes32 salt)";

    bytes32 private constant ATTESTED_TYPEHASH = keccak256(ATTESTED_TYPE);
    bytes32 private constant LIMIT_TYPEHASH = keccak256(LIMIT_TYPE);
    bytes32 private constant QUALITY_TYPEHASH = keccak256(QUALITY_TYPE);
    bytes32 private constant SILENCE_TYPEHASH = keccak256(SILENCE_TYPE);
    /// The types that it refers to stand behind it in the order of their names.
    bytes32 private constant TERMS_TYPEHASH =
        keccak256(abi.encodePacked(TERMS_TYPE, ATTESTED_TYPE, LIMIT_TYPE, QUALITY_TYPE, SILENCE_TYPE));

    function hash(IAgreements.Terms calldata terms) internal pure returns (bytes32) {
        // Three parts, for the stack: each field is one word, so that they join without a seam.
        bytes memory parties = abi.encode(
            TERMS_TYPEHASH,
            terms.token,
            terms.price,
            terms.quantity,
            terms.buyer,
            terms.consignee,
            terms.carrier,
            keccak256(abi.encodePacked(terms.suppliers))
        );
        bytes memory allowances = abi.encode(
            _hashLimits(terms.limits),
            terms.sampleGapSecMax,
            terms.dispatchSecMax,
            terms.transitSecMax,
            terms.claimSecMax,
            terms.consequence,
            terms.reorderCountMax
        );
        bytes memory others = abi.encode(
            keccak256(abi.encode(QUALITY_TYPEHASH, terms.quality)),
            keccak256(abi.encode(SILENCE_TYPEHASH, terms.silence)),
            _hashAttested(terms.attested),
            terms.cover,
            terms.reconciliation,
            terms.offerUntil,
            terms.salt
        );
        return keccak256(bytes.concat(parties, allowances, others));
    }

    function _hashLimits(IAgreements.Limit[] calldata limits) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](limits.length);
        for (uint256 i = 0; i < limits.length; ++i) hashes[i] = keccak256(abi.encode(LIMIT_TYPEHASH, limits[i]));
        return keccak256(abi.encodePacked(hashes));
    }

    function _hashAttested(IAgreements.AttestedTerms calldata attested) private pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    ATTESTED_TYPEHASH,
                    attested.disputes,
                    attested.arbiter,
                    attested.bond,
                    attested.livenessSecMin,
                    attested.arbitrationSecMax,
                    keccak256(abi.encodePacked(attested.cryptlets))
                )
            );
    }
}
