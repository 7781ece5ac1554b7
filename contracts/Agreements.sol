// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Inscription} from "./Inscription.sol";
import {TermsHash} from "./TermsHash.sol";
import {TermsRules} from "./TermsRules.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {ICryptletRegistry} from "./interfaces/ICryptletRegistry.sol";

/// @title What the parties to a shipment have agreed on
/// @notice IAgreements is the document of this contract.
contract Agreements is IAgreements, EIP712 {
    /// @inheritdoc IAgreements
    ICryptletRegistry public immutable cryptlets;
    /// @inheritdoc IAgreements
    uint256 public agreementCount;

    /// Inscriptions of ABI-encoded terms.
    mapping(uint256 agreementId => address) private _inscriptions;
    mapping(bytes32 digest => uint256 agreementId) private _made;

    constructor(ICryptletRegistry cryptlets_) EIP712("Coldproof", "1") {
        cryptlets = cryptlets_;
    }

    /// @inheritdoc IAgreements
    function agree(Terms calldata terms, bytes[] calldata signatures) external returns (uint256 agreementId) {
        TermsRules.requireValid(terms, cryptlets);
        bytes32 digest = digestTerms(terms);
        if (_made[digest] != 0) revert AgreementAlreadyMade(digest, _made[digest]);
        _requireSignatures(terms, digest, signatures);
        agreementId = ++agreementCount;
        _made[digest] = agreementId;
        _inscriptions[agreementId] = address(new Inscription(abi.encode(terms)));
        emit AgreementMade(agreementId, digest, terms.buyer, terms.carrier);
    }

    /// @inheritdoc IAgreements
    function termsOf(uint256 agreementId) external view returns (Terms memory) {
        bytes memory encoded = _encodedTerms(agreementId);
        // They are kept as they are answered: decoding and encoding them again would cost more than reading them.
        assembly ("memory-safe") {
            return(add(encoded, 0x20), mload(encoded))
        }
    }

    /// @inheritdoc IAgreements
    function limitOf(uint256 agreementId, uint8 channel) external view returns (Limit memory limit) {
        Limit[] memory limits = abi.decode(_encodedTerms(agreementId), (Terms)).limits;
        for (uint256 i = 0; i < limits.length; ++i) {
            if (limits[i].channel == channel) return limits[i];
        }
    }

    /// @inheritdoc IAgreements
    function isBound(uint256 agreementId, bytes32 cryptlet) external view returns (bool) {
        AttestedTerms memory attested = abi.decode(_encodedTerms(agreementId), (Terms)).attested;
        if (attested.disputes == address(0)) return false;
        for (uint256 i = 0; i < attested.cryptlets.length; ++i) {
            if (attested.cryptlets[i] == cryptlet) return true;
        }
        return false;
    }

    /// @inheritdoc IAgreements
    function digestTerms(Terms calldata terms) public view returns (bytes32) {
        return _hashTypedDataV4(TermsHash.hash(terms));
    }

    function _requireSignatures(Terms calldata terms, bytes32 digest, bytes[] calldata signatures) private view {
        uint256 count = terms.suppliers.length + 2;
        if (signatures.length != count) revert PartySignatureCountNot(signatures.length, count);
        for (uint256 i = 0; i < count; ++i) {
            address party = i == 0 ? terms.buyer : i == 1 ? terms.carrier : terms.suppliers[i - 2];
            if (!SignatureChecker.isValidSignatureNowCalldata(party, digest, signatures[i])) {
                revert PartySignatureInvalid(i, party, digest);
            }
        }
    }

    function _encodedTerms(uint256 agreementId) private view returns (bytes memory) {
        address inscription = _inscriptions[agreementId];
        if (inscription == address(0)) revert AgreementUnknown(agreementId);
        return inscription.code;
    }
}
