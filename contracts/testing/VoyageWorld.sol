// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Inscription} from "../Inscription.sol";
import {IAgreements} from "../interfaces/IAgreements.sol";
import {ICargoCover} from "../interfaces/ICargoCover.sol";
import {IDisputes} from "../interfaces/IDisputes.sol";
import {IFleet} from "../interfaces/IFleet.sol";
import {IReconciliation} from "../interfaces/IReconciliation.sol";
import {IShipments} from "../interfaces/IShipments.sol";
import {ISilence} from "../interfaces/ISilence.sol";
import {ReentrantToken} from "./HostileTokens.sol";
import {Voyager} from "./Voyager.sol";

/// @notice Who sails, with what, and under which terms. All chance comes from a seed, so that a run can be made again.
abstract contract VoyageWorld {
    struct World {
        ReentrantToken token;
        IAgreements agreements;
        IShipments shipments;
        IFleet fleet;
        ICargoCover cover;
        IReconciliation reconciliation;
        ISilence silence;
        IDisputes disputes;
    }

    enum Role {
        Buyer,
        OtherBuyer,
        Supplier,
        SecondSupplier,
        ThirdSupplier,
        Carrier,
        OtherCarrier,
        Consignee,
        Authority,
        Officer,
        SecondOfficer,
        Workshop,
        Insurer,
        Stranger
    }

    struct Dice {
        uint256 seed;
    }

    uint256 public constant ACTOR_COUNT = 14;
    /// Evidence `i` of a device is of 16 samples, one a minute, from EVIDENCE_STEP_SEC * i after `evidenceFrom` on.
    uint256 public constant EVIDENCE_STEP_SEC = 30 minutes;
    uint256 internal constant EVIDENCE_SEC = 15 minutes;
    uint8 internal constant CHANNEL = 16;
    uint128 internal constant BOND = 77;
    bytes32 internal constant CRYPTLET = "a cryptlet";
    bytes32 internal constant REPORT_DIGEST = "a report";
    uint256 private constant PURSE = 1e12;
    uint256 private constant CAPITAL = 1e6;

    World internal _world;
    Voyager[ACTOR_COUNT] internal _actors;
    /// By carrier: the first one's and the other's.
    bytes32[2] internal _trucks = [bytes32("truck"), "other truck"];
    bytes32[2] internal _devices;
    /// Who has money in the cover: insurers, honest or not, and whom they pay.
    Role[4] internal _capitalists = [Role.Insurer, Role.Stranger, Role.Buyer, Role.OtherBuyer];
    /// Inscriptions of ABI-encoded evidence, by device.
    address[][2] private _evidence;
    uint256 private immutable _evidenceFrom;

    constructor(World memory world, bytes32[2] memory devices, uint256 evidenceFrom) {
        _world = world;
        _devices = devices;
        _evidenceFrom = evidenceFrom;
        address[3] memory payees = [address(world.shipments), address(world.cover), address(world.disputes)];
        for (uint256 i = 0; i < ACTOR_COUNT; ++i) {
            _actors[i] = new Voyager();
            world.token.mint(address(_actors[i]), PURSE);
            for (uint256 j = 0; j < payees.length; ++j) {
                runAs(Role(i), address(world.token), abi.encodeCall(world.token.approve, (payees[j], PURSE)));
            }
        }
        runAs(Role.Carrier, address(world.fleet), abi.encodeCall(IFleet.registerTruck, (_trucks[0], 0)));
        runAs(Role.OtherCarrier, address(world.fleet), abi.encodeCall(IFleet.registerTruck, (_trucks[1], 0)));
        runAs(Role.Insurer, address(world.cover), abi.encodeCall(ICargoCover.deposit, (world.token, CAPITAL)));
    }

    error RunFailed(Role by, address target);

    /// @notice Something that must succeed before a run begins.
    function runAs(Role by, address target, bytes memory request) public {
        if (!_actorOf(by).run(target, gasleft(), request)) revert RunFailed(by, target);
    }

    /// @notice More evidence of a carrier's device, each ABI-encoded.
    function addEvidence(uint256 device, bytes[] calldata encoded) external {
        for (uint256 i = 0; i < encoded.length; ++i) _evidence[device].push(address(new Inscription(encoded[i])));
    }

    function actorOf(Role role) external view returns (address) {
        return address(_actorOf(role));
    }

    /// Below `sides`, which is not zero.
    function _roll(Dice memory dice, uint256 sides) internal pure returns (uint256) {
        dice.seed = uint256(keccak256(abi.encode(dice.seed)));
        return dice.seed % sides;
    }

    function _isLucky(Dice memory dice, uint256 percent) internal pure returns (bool) {
        return _roll(dice, 100) < percent;
    }

    function _actorOf(Role role) internal view returns (Voyager) {
        return _actors[uint256(role)];
    }

    function _anyActor(Dice memory dice) internal view returns (Voyager) {
        return _actors[_roll(dice, ACTOR_COUNT)];
    }

    function _anyCapitalist(Dice memory dice) internal view returns (Voyager) {
        return _actorOf(_capitalists[_roll(dice, _capitalists.length)]);
    }

    /// 0 or 1, the other carrier's.
    function _fleetIndexOf(address carrier) internal view returns (uint256) {
        return carrier == address(_actorOf(Role.OtherCarrier)) ? 1 : 0;
    }

    /// Terms that make sense, and differ in all that leads to other states.
    function _anyTerms(Dice memory dice) internal view returns (IAgreements.Terms memory terms) {
        terms.token = _world.token;
        terms.price = uint128(1_000 + _roll(dice, 1_000));
        terms.quantity = uint64(1 + _roll(dice, 30));
        terms.buyer = address(_actors[_roll(dice, 2)]);
        terms.consignee = address(_actorOf(Role.Consignee));
        // Mostly the first one's, so that it loses several orders in a short time.
        terms.carrier = address(_actorOf(_isLucky(dice, 75) ? Role.Carrier : Role.OtherCarrier));
        terms.suppliers = new address[](1 + _roll(dice, 3));
        uint256 first = _roll(dice, 3);
        for (uint256 i = 0; i < terms.suppliers.length; ++i) {
            terms.suppliers[i] = address(_actors[uint256(Role.Supplier) + ((first + i) % 3)]);
        }
        terms.limits = new IAgreements.Limit[](1);
        terms.limits[0] = IAgreements.Limit(CHANNEL, 200, 800, 900, _isLucky(dice, 50) ? 1_800 : 0);
        terms.sampleGapSecMax = 150;
        terms.dispatchSecMax = 1 days;
        terms.transitSecMax = 1 days;
        terms.claimSecMax = 6 hours;
        terms.consequence = IAgreements.Consequence(_roll(dice, 2));
        terms.reorderCountMax = uint8(_roll(dice, 4));
        terms.quality = IAgreements.QualityTerms(address(_actorOf(Role.Authority)), 12 hours);
        if (_isLucky(dice, 50)) terms.silence = IAgreements.SilenceTerms(address(_world.silence), 1 hours, 2 hours);
        if (_isLucky(dice, 50)) terms.attested = _attestedTerms();
        if (_isLucky(dice, 60)) terms.cover = address(_world.cover);
        if (_isLucky(dice, 30)) terms.reconciliation = address(_world.reconciliation);
        terms.offerUntil = uint32(block.timestamp);
        terms.salt = bytes32(dice.seed);
    }

    /// Number of a piece of evidence of the order's device: one that fits, when there are some, or any.
    function _drawEvidence(
        Dice memory dice,
        IShipments.Order memory order,
        bool isFitting
    ) internal view returns (uint256) {
        (uint256 least, uint256 past) = _fittingEvidence(order);
        if (isFitting && past > least) return least + _roll(dice, past - least);
        return _roll(dice, _evidence[_deviceIndexOf(order)].length);
    }

    /// Evidence from `least` on, below `past`, is of the time that the order is judged by.
    function _fittingEvidence(IShipments.Order memory order) internal view returns (uint256 least, uint256 past) {
        uint256 from = order.judgedFrom < _evidenceFrom ? 0 : order.judgedFrom - _evidenceFrom;
        least = (from + EVIDENCE_STEP_SEC - 1) / EVIDENCE_STEP_SEC;
        uint256 until = order.deliveredAt == 0 ? block.timestamp : order.deliveredAt;
        uint256 first = _evidenceFrom + EVIDENCE_SEC;
        past = until < first ? 0 : (until - first) / EVIDENCE_STEP_SEC + 1;
        uint256 count = _evidence[_deviceIndexOf(order)].length;
        if (past > count) past = count;
    }

    /// The last one again, beyond the end.
    function _evidenceAt(IShipments.Order memory order, uint256 i) internal view returns (bytes memory) {
        address[] storage pool = _evidence[_deviceIndexOf(order)];
        return pool[i < pool.length ? i : pool.length - 1].code;
    }

    function _deviceIndexOf(IShipments.Order memory order) private view returns (uint256) {
        return order.device == _devices[1] ? 1 : 0;
    }

    function _attestedTerms() private view returns (IAgreements.AttestedTerms memory attested) {
        attested.disputes = address(_world.disputes);
        attested.arbiter = address(_actorOf(Role.Authority));
        attested.bond = BOND;
        attested.livenessSecMin = 1 hours;
        attested.arbitrationSecMax = 3 hours;
        attested.cryptlets = new bytes32[](1);
        attested.cryptlets[0] = CRYPTLET;
    }
}
