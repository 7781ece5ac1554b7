// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../interfaces/IAgreements.sol";
import {ICargoCover} from "../interfaces/ICargoCover.sol";
import {IDisputes} from "../interfaces/IDisputes.sol";
import {IEvidence} from "../interfaces/IEvidence.sol";
import {IFleet} from "../interfaces/IFleet.sol";
import {IHeartbeat} from "../interfaces/IHeartbeat.sol";
import {IQuorum} from "../interfaces/IQuorum.sol";
import {IReconciliation} from "../interfaces/IReconciliation.sol";
import {IShipments} from "../interfaces/IShipments.sol";
import {ISilence} from "../interfaces/ISilence.sol";
import {Voyager} from "./Voyager.sol";
import {VoyageWorld} from "./VoyageWorld.sol";

/// @notice Every move that anybody can try, with arguments that are right, nearly right, or made up.
abstract contract VoyageMoves is VoyageWorld {
    enum Move {
        Agree,
        Place,
        Accept,
        Decline,
        Cancel,
        Expire,
        Dispatch,
        Deliver,
        DeliverSigned,
        Settle,
        Withdraw,
        ReportExcursion,
        ReportCumulative,
        Conclude,
        Postpone,
        Dispose,
        ApproveHeld,
        ApplyHeld,
        RequestRepair,
        RequestCover,
        Pause,
        SetBreaker,
        Submit,
        RegisterTruck,
        OpenTicket,
        CloseTicket,
        AddService,
        OfferTruck,
        AcceptTruck,
        Deposit,
        WithdrawCapital,
        Take,
        OnExcursion,
        SettleClaim,
        Release,
        ProveHeartbeat,
        ReportSilence,
        Disprove,
        DeclareBreach,
        Assert,
        Dispute,
        ConcludeFact,
        Arbitrate,
        Lapse,
        WithdrawBond
    }

    uint256 internal constant MOVE_COUNT = uint256(type(Move).max) + 1;

    struct Act {
        Voyager by;
        address target;
        bytes request;
    }

    /// What a move is made of. `by` is anybody when the move is nobody's in particular, or not honest.
    struct Draft {
        Dice dice;
        bool isHonest;
        uint256 orderId;
        IShipments.Order order;
        IAgreements.Terms terms;
        address by;
    }

    /// An honest one is by whom it takes, with arguments that fit as far as they can be known.
    function _make(Dice memory dice, Move move, uint256 orderId, bool isHonest) internal view returns (Act memory act) {
        Draft memory draft;
        draft.dice = dice;
        draft.isHonest = isHonest;
        draft.orderId = orderId;
        draft.order = _world.shipments.order(orderId);
        if (draft.order.agreementId != 0) draft.terms = _world.agreements.termsOf(draft.order.agreementId);
        draft.by = address(_anyActor(dice));
        if (move < Move.RequestRepair) {
            act.target = move == Move.Agree ? address(_world.agreements) : address(_world.shipments);
            act.request = move < Move.Withdraw ? _orderRequest(draft, move) : _factRequest(draft, move);
        } else if (move < Move.Submit) {
            act.target = address(_world.shipments);
            act.request = _officeRequest(draft, move);
        } else if (move == Move.Submit) {
            act.target = address(_world.reconciliation);
            act.request = _submitRequest(draft);
        } else if (move < Move.Deposit) {
            act.target = address(_world.fleet);
            act.request = _truckRequest(draft, move);
        } else if (move < Move.ProveHeartbeat) {
            act.target = address(_world.cover);
            act.request = _coverRequest(draft, move);
        } else if (move < Move.Assert) {
            act.target = address(_world.silence);
            act.request = _silenceRequest(draft, move);
        } else {
            act.target = address(_world.disputes);
            act.request = _disputeRequest(draft, move);
        }
        // Of an order that does not exist nobody is a party.
        bool isOwn = isHonest || move == Move.Deposit;
        act.by = isOwn && draft.by != address(0) ? Voyager(draft.by) : _anyActor(dice);
    }

    function _orderRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        uint256 orderId = draft.orderId;
        if (move == Move.Agree) {
            IAgreements.Terms memory terms = _anyTerms(draft.dice);
            return abi.encodeCall(IAgreements.agree, (terms, new bytes[](terms.suppliers.length + 2)));
        }
        if (move == Move.Place) {
            uint256 agreementId = 1 + _roll(draft.dice, 4);
            draft.by = address(_actors[_roll(draft.dice, 2)]);
            return _requestOf(IShipments.place.selector, agreementId);
        }
        if (move == Move.Expire) return _requestOf(IShipments.expire.selector, orderId);
        if (move == Move.DeliverSigned) {
            return abi.encodeCall(IShipments.deliverSigned, (orderId, _quantity(draft), ""));
        }
        if (move == Move.Deliver) {
            draft.by = draft.terms.consignee;
            return abi.encodeCall(IShipments.deliver, (orderId, _quantity(draft)));
        }
        if (move == Move.Dispatch) {
            draft.by = draft.order.carrier;
            uint256 own = draft.isHonest ? _fleetIndexOf(draft.by) : _roll(draft.dice, 2);
            bytes32 truck = _trucks[_roll(draft.dice, 2)];
            // Trucks are sold now and then.
            if (draft.isHonest && _world.fleet.truckOf(_trucks[own]).owner == draft.by) truck = _trucks[own];
            return abi.encodeCall(IShipments.dispatchOrder, (orderId, _devices[own], truck));
        }
        if (move == Move.Accept || move == Move.Decline) {
            draft.by = draft.order.supplier;
            return _requestOf(
                move == Move.Accept ? IShipments.accept.selector : IShipments.decline.selector,
                orderId
            );
        }
        draft.by = draft.order.buyer;
        return _requestOf(
            move == Move.Cancel ? IShipments.cancel.selector : IShipments.settle.selector,
            orderId
        );
    }

    function _factRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        uint256 orderId = draft.orderId;
        Dice memory dice = draft.dice;
        if (move == Move.Withdraw) {
            draft.by = _isLucky(dice, 50) ? draft.order.buyer : draft.order.supplier;
            return abi.encodeCall(IShipments.withdraw, (_world.token));
        }
        if (move == Move.ReportExcursion) {
            uint256 i = _drawEvidence(dice, draft.order, draft.isHonest);
            // The encoding of one struct is the offset 0x20 and the struct; behind the order's id its offset is 0x40.
            bytes memory body = _bodyOf(_evidenceAt(draft.order, i));
            return bytes.concat(IShipments.reportExcursion.selector, abi.encode(orderId, 0x40), body);
        }
        if (move == Move.ReportCumulative) {
            uint256 i = _drawEvidence(dice, draft.order, draft.isHonest);
            bytes memory first = _bodyOf(_evidenceAt(draft.order, i));
            bytes memory second = _bodyOf(_evidenceAt(draft.order, i + 1));
            bytes memory head = abi.encode(orderId, 0x40, 2, 0x40, 0x40 + first.length);
            return bytes.concat(IShipments.reportCumulative.selector, head, first, second);
        }
        if (move == Move.Conclude) {
            IShipments.Cause cause = IShipments.Cause(_roll(dice, 5));
            return abi.encodeCall(IShipments.conclude, (orderId, REPORT_DIGEST, cause));
        }
        if (move == Move.Postpone) {
            return abi.encodeCall(IShipments.postpone, (orderId, uint32(block.timestamp + _roll(dice, 1 days))));
        }
        if (move == Move.Dispose) {
            draft.by = draft.terms.quality.authority;
            IShipments.Disposition disposition = IShipments.Disposition(_roll(dice, 3));
            uint64 released = _quantity(draft);
            if (disposition == IShipments.Disposition.Rejected) released = 0;
            if (disposition == IShipments.Disposition.PartlyReleased) released = released / 3 + 1;
            return abi.encodeCall(IShipments.dispose, (orderId, disposition, released, REPORT_DIGEST));
        }
        if (move == Move.ApplyHeld) return _requestOf(IShipments.applyHeld.selector, orderId);
        draft.by = address(_actors[uint256(Role.Officer) + _roll(dice, 2)]);
        return _requestOf(IShipments.approveHeld.selector, orderId);
    }

    function _officeRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        if (move == Move.RequestRepair) return _requestOf(IShipments.requestRepair.selector, draft.orderId);
        if (move == Move.RequestCover) return _requestOf(IShipments.requestCover.selector, draft.orderId);
        draft.by = address(_actorOf(Role.Officer));
        if (move == Move.Pause) {
            return abi.encodeWithSelector(
                _isLucky(draft.dice, 30) ? IShipments.pause.selector : IShipments.unpause.selector
            );
        }
        uint256 windowSec = 1 hours + _roll(draft.dice, 2 days);
        return abi.encodeCall(IShipments.setBreaker, (uint8(_roll(draft.dice, 4)), uint32(windowSec)));
    }

    function _submitRequest(Draft memory draft) private pure returns (bytes memory) {
        IShipments.Order memory order = draft.order;
        uint256 party = _roll(draft.dice, 3);
        draft.by = party == 0 ? order.buyer : party == 1 ? order.supplier : order.carrier;
        bytes32[8] memory copy;
        if (!draft.isHonest) copy[_roll(draft.dice, 8)] = REPORT_DIGEST;
        return abi.encodeCall(IReconciliation.submit, (draft.orderId, copy));
    }

    function _truckRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        Dice memory dice = draft.dice;
        uint256 i = _roll(dice, 2);
        bytes32 truck = _trucks[i];
        IFleet.Truck memory known = _world.fleet.truckOf(truck);
        if (move == Move.RegisterTruck) {
            return abi.encodeCall(IFleet.registerTruck, (bytes32(_roll(dice, 3)), uint32(_roll(dice, 9))));
        }
        if (move == Move.OpenTicket) {
            return abi.encodeCall(IFleet.openTicket, (truck, uint64(draft.orderId), REPORT_DIGEST));
        }
        if (move == Move.OfferTruck) {
            draft.by = known.owner;
            return abi.encodeCall(IFleet.offerTruck, (truck, address(_actors[uint256(Role.Carrier) + _roll(dice, 2)])));
        }
        if (move == Move.AcceptTruck) {
            draft.by = known.offeredTo;
            return abi.encodeCall(IFleet.acceptTruck, (truck));
        }
        address workshop = address(draft.isHonest ? _actorOf(Role.Workshop) : _anyActor(dice));
        // Half of the dishonest readings run backwards.
        uint32 odometerKm = known.odometerKm + uint32(_roll(dice, 500));
        if (!draft.isHonest && odometerKm > 500) odometerKm -= 500;
        uint32 nowAt = uint32(block.timestamp);
        if (move == Move.AddService) {
            IFleet.EntryKind kind = IFleet.EntryKind(_roll(dice, 7));
            uint32 number = known.entryCount + 1;
            IFleet.Service memory service = IFleet.Service(workshop, kind, odometerKm, number, REPORT_DIGEST);
            return abi.encodeCall(IFleet.addService, (truck, service, ""));
        }
        IFleet.Inspection memory inspection = IFleet.Inspection(workshop, odometerKm, nowAt, nowAt, REPORT_DIGEST);
        uint256 ticketId = 1 + _roll(dice, _world.fleet.ticketCount() + 1);
        return abi.encodeCall(IFleet.closeTicket, (ticketId, inspection, ""));
    }

    function _coverRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        Dice memory dice = draft.dice;
        uint256 orderId = draft.orderId;
        if (move == Move.SettleClaim) return _requestOf(ICargoCover.settleClaim.selector, orderId);
        if (move == Move.Release) return _requestOf(ICargoCover.release.selector, orderId);
        if (move == Move.OnExcursion) return abi.encodeCall(ICargoCover.onExcursion, (orderId, REPORT_DIGEST));
        if (move == Move.Take) {
            draft.by = draft.order.buyer;
            ICargoCover.Quote memory quote = ICargoCover.Quote({
                insurer: address(draft.isHonest ? _actorOf(Role.Insurer) : _anyCapitalist(dice)),
                buyer: draft.by,
                orderId: orderId,
                token: _world.token,
                premium: uint128(_roll(dice, 100)),
                payout: uint128(_roll(dice, draft.isHonest ? 2_000 : 1_000_000_000)),
                validUntil: uint32(block.timestamp)
            });
            return abi.encodeCall(ICargoCover.take, (quote, ""));
        }
        draft.by = address(_anyCapitalist(dice));
        if (move == Move.Deposit) return abi.encodeCall(ICargoCover.deposit, (_world.token, _roll(dice, 2_000)));
        uint256 credit = _world.cover.creditOf(draft.by, _world.token);
        uint256 amount = draft.isHonest ? _roll(dice, credit + 1) : _roll(dice, 2_000);
        return abi.encodeCall(ICargoCover.withdraw, (_world.token, amount));
    }

    function _silenceRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        if (move == Move.ReportSilence) return _requestOf(ISilence.reportSilence.selector, draft.orderId);
        if (move == Move.DeclareBreach) return _requestOf(ISilence.declareBreach.selector, draft.orderId);
        (, uint256 past) = _fittingEvidence(draft.order);
        bool isLatest = draft.isHonest && past > 0;
        uint256 i = isLatest ? past - 1 : _drawEvidence(draft.dice, draft.order, false);
        bytes memory encoded = _evidenceAt(draft.order, i);
        IEvidence.ExcursionEvidence memory evidence = abi.decode(encoded, (IEvidence.ExcursionEvidence));
        IEvidence.SealedSeries memory series = evidence.batches[0];
        IHeartbeat.HeartbeatProof memory proof;
        proof.x = evidence.x;
        proof.y = evidence.y;
        proof.batch = IEvidence.SealedBatch({
            sequence: series.sequence,
            previous: series.previous,
            first: series.first,
            last: series.last,
            root: series.root,
            seriesCount: series.seriesCount,
            flags: series.flags,
            r: series.r,
            s: series.s
        });
        if (move == Move.Disprove) return abi.encodeCall(ISilence.disprove, (draft.orderId, proof));
        return abi.encodeCall(ISilence.proveHeartbeat, (draft.orderId, proof));
    }

    function _disputeRequest(Draft memory draft, Move move) private view returns (bytes memory) {
        Dice memory dice = draft.dice;
        IDisputes disputes = _world.disputes;
        if (move == Move.WithdrawBond) {
            draft.by = disputes.assertionOf(disputes.latestOf(draft.orderId)).asserter;
            return abi.encodeCall(IDisputes.withdraw, (_world.token));
        }
        if (move == Move.Assert) {
            IQuorum.Report memory report;
            report.cryptlet = CRYPTLET;
            report.consumer = address(disputes);
            report.subject = draft.orderId;
            report.sequence = disputes.sequenceOf(CRYPTLET, draft.orderId) + (draft.isHonest ? 1 : 0);
            return abi.encodeCall(IDisputes.transmit, (report, new bytes[](0)));
        }
        uint256 assertionId = draft.isHonest
            ? disputes.latestOf(draft.orderId)
            : _roll(dice, disputes.assertionCount() + 2);
        if (move == Move.Dispute) {
            draft.by = draft.order.carrier;
            return _requestOf(IDisputes.dispute.selector, assertionId);
        }
        if (move == Move.ConcludeFact) return _requestOf(IDisputes.conclude.selector, assertionId);
        if (move == Move.Lapse) return _requestOf(IDisputes.lapse.selector, assertionId);
        draft.by = draft.terms.attested.arbiter;
        return abi.encodeCall(IDisputes.arbitrate, (assertionId, _isLucky(dice, 50), REPORT_DIGEST));
    }

    /// All of it, or what is made up.
    function _quantity(Draft memory draft) private pure returns (uint64) {
        uint64 quantity = draft.terms.quantity;
        return draft.isHonest ? quantity : uint64(_roll(draft.dice, uint256(quantity) * 2 + 1));
    }

    /// A call with one number. In one place: an encoding at each would make the harness too large for a chain.
    function _requestOf(bytes4 selector, uint256 id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, id);
    }

    /// The encoding of a struct without the offset before it.
    function _bodyOf(bytes memory encoded) private pure returns (bytes memory body) {
        uint256 size = encoded.length - 0x20;
        body = encoded;
        assembly ("memory-safe") {
            body := add(encoded, 0x20)
            mstore(body, size)
        }
    }
}
