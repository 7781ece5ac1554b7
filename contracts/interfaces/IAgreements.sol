// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ICryptletRegistry} from "./ICryptletRegistry.sol";

/// @title What the parties to a shipment have agreed on
/// @notice An agreement binds a party only by that party's own signature (EIP-712, domain "Coldproof" version "1"; of
/// an account or, by ERC-1271, of a contract), and only on this chain and in this contract. It is kept as code, which
/// nothing can change.
interface IAgreements {
    /// @notice What a fact that breaks the terms does to an order.
    enum Consequence {
        /// Cancelled at once; the escrow goes to a replacement order with the next supplier, or back to the buyer.
        Reorder,
        /// Set aside until the quality authority disposes of the goods.
        Quarantine
    }

    /// @notice The allowances of one channel. A sample at a limit is outside.
    struct Limit {
        /// A temperature channel: 1 to 4, or 16 to 31 for cargo probes (wire/WIRE.md).
        uint8 channel;
        /// Centi-degrees Celsius.
        int16 lowerLimitCentiC;
        int16 upperLimitCentiC;
        /// One run outside the limits breaks the terms when it lasts this long, seconds from its first to its last
        /// sample.
        uint32 excursionSecMin;
        /// All runs outside the limits break the terms when they last this long together, seconds; 0 for no such
        /// allowance.
        uint32 cumulativeSecMin;
    }

    struct QualityTerms {
        /// Who disposes of quarantined goods.
        address authority;
        /// In what time from the quarantine on, seconds; after it the goods are rejected.
        uint32 decisionSecMax;
    }

    struct SilenceTerms {
        /// Who may conclude that the device was silent: the Silence contract. Zero: silence has no consequence.
        address monitor;
        /// Seconds without a sign of the device after which the order is unmonitored.
        uint32 silenceSecMax;
        /// Seconds from then on in which a sign of the device disproves it.
        uint32 challengeSecMax;
    }

    struct AttestedTerms {
        /// Who may conclude attested facts: the Disputes contract. Zero: proved facts only.
        address disputes;
        /// Who decides a disputed fact.
        address arbiter;
        /// What an assertion and a dispute each cost until they are decided, in the token's smallest unit.
        uint128 bond;
        /// Seconds in which an assertion may be disputed.
        uint32 livenessSecMin;
        /// Seconds that the arbiter has from the dispute on.
        uint32 arbitrationSecMax;
        /// The programs, by digest, whose reports may speak to the order: one to eight, all different.
        bytes32[] cryptlets;
    }

    struct Terms {
        IERC20 token;
        /// In the token's smallest unit.
        uint128 price;
        /// Of the goods, in a unit that the parties know (pallets, kilograms).
        uint64 quantity;
        /// Who pays.
        address buyer;
        /// Who confirms that the goods have arrived; often the buyer.
        address consignee;
        /// Who dispatches the order, with a device and a truck of its own.
        address carrier;
        /// One to eight, all different, in the order in which they are asked. The next one takes the replacement.
        address[] suppliers;
        /// One to four, of different channels.
        Limit[] limits;
        /// Neighbouring samples of a run are at most this far apart, seconds.
        uint16 sampleGapSecMax;
        /// Seconds from placing in which the order is dispatched.
        uint32 dispatchSecMax;
        /// Seconds from dispatch (or from a release out of quarantine) in which the goods arrive.
        uint32 transitSecMax;
        /// Seconds from delivery in which evidence of the transit is waited for before anybody may settle; 0 for none.
        uint32 claimSecMax;
        Consequence consequence;
        /// How many replacements there may be, one after the other.
        uint8 reorderCountMax;
        QualityTerms quality;
        SilenceTerms silence;
        AttestedTerms attested;
        /// A CargoCover that is told of a proved excursion, or zero.
        address cover;
        /// A Reconciliation that must be in agreement before dispatch, or zero.
        address reconciliation;
        /// The last second in which the agreement can be made, Unix seconds.
        uint32 offerUntil;
        /// Tells two agreements on the same terms apart.
        bytes32 salt;
    }

    /// @notice All parties have signed; `digest` is what they signed.
    event AgreementMade(
        uint256 indexed agreementId,
        bytes32 indexed digest,
        address indexed buyer,
        address carrier
    );

    error AgreementUnknown(uint256 agreementId);
    /// @notice These very terms have been agreed on before.
    error AgreementAlreadyMade(bytes32 digest, uint256 agreementId);
    /// @notice Unix seconds.
    error OfferExpired(uint256 offerUntil, uint256 nowAt);
    /// @notice One each of buyer, carrier and all suppliers.
    error PartySignatureCountNot(uint256 got, uint256 want);
    /// @notice The signature at `index` is not that party's over `digest`.
    error PartySignatureInvalid(uint256 index, address party, bytes32 digest);
    error TokenInvalid(IERC20 token);
    error PriceZero();
    error QuantityZero();
    /// @notice Buyer, consignee or carrier is zero.
    error PartyZero(address buyer, address consignee, address carrier);
    error SupplierCountOutOfRange(uint256 got, uint256 max);
    /// @notice The zero address, or one that stands in the list before.
    error SupplierInvalid(uint256 index, address supplier);
    error LimitCountOutOfRange(uint256 got, uint256 max);
    error ChannelNotTemperature(uint8 channel);
    /// @notice Two limits are of the same channel.
    error ChannelRepeated(uint8 channel);
    error LimitsNotOrdered(int16 lowerLimitCentiC, int16 upperLimitCentiC);
    error ExcursionTimeZero(uint8 channel);
    error SampleGapZero();
    /// @notice A time that some move waits for is too short or too long: nothing may be bound for ever. Seconds.
    error DurationOutOfRange(uint256 gotSec, uint256 minSec, uint256 maxSec);
    /// @notice Quarantine needs somebody who ends it.
    error QualityAuthorityZero();
    /// @notice Attested facts need somebody who decides a dispute.
    error ArbiterZero();
    error BondZero();
    error CryptletCountOutOfRange(uint256 got, uint256 max);
    /// @notice Not active in the registry, or one that stands in the list before.
    error CryptletInvalid(uint256 index, bytes32 cryptlet);
    /// @notice Cover or reconciliation is named, and there is no contract at that address.
    error ContractMissing(address target);

    /// @notice Makes an agreement, by anybody who has the signatures of all parties over digestTerms.
    /// @param signatures of the buyer, the carrier, and each supplier, in this order
    /// @return agreementId from 1
    function agree(Terms calldata terms, bytes[] calldata signatures) external returns (uint256 agreementId);

    /// @notice The terms of an agreement. Reverts with AgreementUnknown when there is none.
    function termsOf(uint256 agreementId) external view returns (Terms memory);

    /// @notice What the parties sign: the EIP-712 digest of the terms.
    function digestTerms(Terms calldata terms) external view returns (bytes32);

    /// @notice The allowances of a channel; zeros for one that the agreement does not limit.
    function limitOf(uint256 agreementId, uint8 channel) external view returns (Limit memory);

    /// @notice Whether the agreement names the program: whether its reports may speak to orders under the agreement.
    function isBound(uint256 agreementId, bytes32 cryptlet) external view returns (bool);

    /// @notice Where the programs that an agreement names are looked up.
    function cryptlets() external view returns (ICryptletRegistry);

    /// @notice Agreements so far; their ids are 1 to this.
    function agreementCount() external view returns (uint256);
}
