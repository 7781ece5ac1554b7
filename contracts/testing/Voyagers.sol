// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputes} from "../interfaces/IDisputes.sol";
import {IFleet} from "../interfaces/IFleet.sol";
import {IShipments} from "../interfaces/IShipments.sol";
import {Voyager} from "./Voyager.sol";
import {VoyageMoves} from "./VoyageMoves.sol";
import {VoyageWorld} from "./VoyageWorld.sol";

/// @notice Random moves of hostile parties, and after each of them what must hold whatever they did.
contract Voyagers is VoyageMoves {
    enum Invariant {
        None,
        /// Shipments holds the prices of live orders and all credits, to the unit.
        ShipmentsMoney,
        /// CargoCover holds all credits and reserves.
        CoverMoney,
        /// Disputes holds the bonds of live assertions and all credits.
        DisputesMoney,
        /// An agreement's money is in one live order at most.
        OneLiveOrder,
        /// A replacement is of a cancelled order, which has no other.
        OneReplacement,
        /// Settled, Cancelled and Refunded are left for nothing.
        TerminalStays,
        /// Neither a truck's odometer nor its book runs backwards.
        OdometerForward,
        /// A truck with an open ticket is dispatched with nothing.
        LockedTruckStays
    }

    struct Breach {
        Invariant invariant;
        /// The order that shows it, 0 for none; the step, from 1, and the move that it came with.
        uint256 orderId;
        uint256 step;
        Move move;
    }

    uint256 private constant STATE_COUNT = 10;
    /// Twice what the dearest move takes.
    uint256 private constant MOVE_GAS = 2_000_000;
    /// What a step takes at most, the checks included.
    uint256 private constant STEP_GAS = 6_000_000;

    uint256 private _stepCount;
    Breach private _breach;
    /// 16 bits for each move, how often it succeeded; in the last word for each state, how often an order came into it.
    uint256[4] private _tally;
    mapping(uint256 orderId => IShipments.OrderState) private _states;
    mapping(uint256 agreementId => uint256) private _prices;
    uint32[2] private _odometersKm;
    uint32[2] private _entryCounts;

    constructor(
        World memory world,
        bytes32[2] memory devices,
        uint256 evidenceFrom
    ) VoyageWorld(world, devices, evidenceFrom) {}

    /// @notice Makes random moves, all in this block's time, until one breaks an invariant.
    function play(uint256 seed, uint256 steps) external {
        Dice memory dice = Dice(seed);
        uint256 from = _stepCount;
        uint256 done = 0;
        while (done < steps && gasleft() > STEP_GAS && _breach.invariant == Invariant.None) {
            uint256 free = _freeMemory();
            done += 1;
            _step(dice, from + done);
            _setFreeMemory(free);
        }
        _stepCount = from + done;
    }

    /// @notice How far it got: the invariant that was broken, if any; how often each move succeeded, by Move; and how
    /// often an order came into each state, by OrderState.
    function outcome()
        external
        view
        returns (uint256 steps, Breach memory breach, uint256[] memory moves, uint256[] memory states)
    {
        (steps, breach) = (_stepCount, _breach);
        moves = new uint256[](MOVE_COUNT);
        states = new uint256[](STATE_COUNT);
        for (uint256 i = 0; i < MOVE_COUNT; ++i) moves[i] = uint16(_tally[i / 16] >> (16 * (i % 16)));
        for (uint256 i = 0; i < STATE_COUNT; ++i) states[i] = uint16(_tally[3] >> (16 * i));
    }

    function _step(Dice memory dice, uint256 step) private {
        uint256 orderId = 1 + _roll(dice, _world.shipments.orderCount() + 1);
        bool isGuided = _isLucky(dice, 70);
        Move move = isGuided ? _nextMove(dice, _world.shipments.order(orderId)) : Move(_roll(dice, MOVE_COUNT));
        if (_isLucky(dice, 8)) _arm(dice);
        Act memory act = _make(dice, move, orderId, _isLucky(dice, isGuided ? 90 : 50));
        uint256 gas_ = _isLucky(dice, 5) ? 20_000 + _roll(dice, 900_000) : MOVE_GAS;
        if (act.by.run(act.target, gas_, act.request)) _count(uint256(move));
        (Invariant invariant, uint256 shownBy) = _check();
        if (invariant != Invariant.None) _breach = Breach(invariant, shownBy, step, move);
    }

    /// The token's next transfer calls back, in the name of anybody, with any move.
    function _arm(Dice memory dice) private {
        uint256 orderId = 1 + _roll(dice, _world.shipments.orderCount() + 1);
        Act memory act = _make(dice, Move(_roll(dice, MOVE_COUNT)), orderId, _isLucky(dice, 80));
        _world.token.arm(address(act.by), abi.encodeCall(Voyager.run, (act.target, MOVE_GAS, act.request)));
    }

    /// What could come next for an order in its state, so that runs get anywhere.
    function _nextMove(Dice memory dice, IShipments.Order memory order) private view returns (Move) {
        IShipments.OrderState state = order.state;
        if (state == IShipments.OrderState.None) {
            // A few agreements are enough for one run.
            return _world.agreements.agreementCount() < 4 && _isLucky(dice, 50) ? Move.Agree : Move.Place;
        }
        Move[14] memory next;
        if (state == IShipments.OrderState.Placed) {
            next = [
                Move.Accept, Move.Accept, Move.Accept, Move.Accept, Move.Accept, Move.Accept, Move.Accept,
                Move.Accept, Move.Accept, Move.Take, Move.Take, Move.Submit, Move.Submit, Move.Decline
            ];
        } else if (state == IShipments.OrderState.Accepted) {
            next = [
                Move.Dispatch, Move.Dispatch, Move.Dispatch, Move.Dispatch, Move.Dispatch, Move.Dispatch,
                Move.Dispatch, Move.Dispatch, Move.Submit, Move.Submit, Move.Submit, Move.Take, Move.CloseTicket,
                Move.CloseTicket
            ];
        } else if (state == IShipments.OrderState.InTransit) {
            next = [
                Move.ReportExcursion, Move.ReportExcursion, Move.ReportCumulative, Move.Deliver, Move.DeliverSigned,
                Move.Assert, Move.Dispute, Move.Arbitrate, Move.ReportSilence, Move.ReportSilence,
                Move.ProveHeartbeat, Move.Disprove, Move.DeclareBreach, Move.DeclareBreach
            ];
        } else if (state == IShipments.OrderState.Delivered) {
            next = [
                Move.Settle, Move.Settle, Move.ReportExcursion, Move.ReportExcursion, Move.ReportExcursion,
                Move.ReportCumulative, Move.Assert, Move.Assert, Move.Dispute, Move.Dispute, Move.Arbitrate,
                Move.Arbitrate, Move.ConcludeFact, Move.ConcludeFact
            ];
        } else if (state == IShipments.OrderState.Quarantined) {
            next = [
                Move.Dispose, Move.Dispose, Move.Dispose, Move.Dispose, Move.Dispose, Move.Expire, Move.RequestCover,
                Move.RequestRepair, Move.SettleClaim, Move.CloseTicket, Move.Lapse, Move.Conclude, Move.Postpone,
                Move.Take
            ];
        } else if (state == IShipments.OrderState.Held) {
            next = [
                Move.ApproveHeld, Move.ApproveHeld, Move.ApproveHeld, Move.ApplyHeld, Move.ApplyHeld, Move.ApplyHeld,
                Move.ApplyHeld, Move.ApplyHeld, Move.SettleClaim, Move.Release, Move.Lapse, Move.ReportExcursion,
                Move.Expire, Move.Conclude
            ];
        } else {
            next = [
                Move.Withdraw, Move.Withdraw, Move.Withdraw, Move.CloseTicket, Move.CloseTicket, Move.CloseTicket,
                Move.Release, Move.SettleClaim, Move.Lapse, Move.WithdrawBond, Move.WithdrawCapital,
                Move.RequestRepair, Move.RequestCover, Move.Expire
            ];
        }
        return next[_roll(dice, next.length)];
    }

    /// The first invariant that does not hold, and the order that shows it.
    function _check() private returns (Invariant invariant, uint256 shownBy) {
        (uint256 escrow, Invariant broken, uint256 orderId) = _checkOrders();
        if (broken != Invariant.None) return (broken, orderId);
        if (!_isBalanced(address(_world.shipments), escrow + _shipmentsCredits())) return (Invariant.ShipmentsMoney, 0);
        if (!_isBalanced(address(_world.cover), _coverMoney())) return (Invariant.CoverMoney, 0);
        if (!_isBalanced(address(_world.disputes), _disputesMoney())) return (Invariant.DisputesMoney, 0);
        if (!_isBookForward(0) || !_isBookForward(1)) return (Invariant.OdometerForward, 0);
    }

    /// Also sums the prices of all live orders.
    function _checkOrders() private returns (uint256 escrow, Invariant broken, uint256 orderId) {
        uint256 count = _world.shipments.orderCount();
        uint256[] memory replacementIds = new uint256[](count + 1);
        uint256 liveAgreements = 0;
        for (orderId = 1; orderId <= count; ++orderId) {
            IShipments.Order memory order = _world.shipments.order(orderId);
            IShipments.OrderState before = _states[orderId];
            if (order.state != before) {
                if (_isFinal(before)) return (0, Invariant.TerminalStays, orderId);
                if (before == IShipments.OrderState.Accepted && order.state == IShipments.OrderState.InTransit) {
                    if (_world.fleet.isLocked(order.truck)) return (0, Invariant.LockedTruckStays, orderId);
                }
                _states[orderId] = order.state;
                _tally[3] += 1 << (16 * uint256(order.state));
            }
            replacementIds[orderId] = order.replacementId;
            uint256 former = order.replacementOf;
            // Each order is named by its replacement and names it: so there is one at most, of one that was cancelled.
            bool isFit = former == 0 ||
                (replacementIds[former] == orderId && _states[former] == IShipments.OrderState.Cancelled);
            if (!isFit) return (0, Invariant.OneReplacement, orderId);
            if (_isFinal(order.state)) continue;
            if (liveAgreements & (1 << order.agreementId) != 0) return (0, Invariant.OneLiveOrder, orderId);
            liveAgreements |= 1 << order.agreementId;
            escrow += _priceOf(order.agreementId);
        }
        return (escrow, Invariant.None, 0);
    }

    function _count(uint256 move) private {
        _tally[move / 16] += 1 << (16 * (move % 16));
    }

    /// Asked once: terms are long.
    function _priceOf(uint256 agreementId) private returns (uint256 price) {
        price = _prices[agreementId];
        if (price != 0) return price;
        price = _world.agreements.termsOf(agreementId).price;
        _prices[agreementId] = price;
    }

    function _isBookForward(uint256 i) private returns (bool) {
        IFleet.Truck memory truck = _world.fleet.truckOf(_trucks[i]);
        if (truck.odometerKm < _odometersKm[i] || truck.entryCount < _entryCounts[i]) return false;
        (_odometersKm[i], _entryCounts[i]) = (truck.odometerKm, truck.entryCount);
        return true;
    }

    function _isBalanced(address account, uint256 owed) private view returns (bool) {
        return _world.token.balanceOf(account) == owed;
    }

    /// Buyers' and suppliers': nobody else is ever credited, or it shows as money that is missing.
    function _shipmentsCredits() private view returns (uint256 credits) {
        for (uint256 i = uint256(Role.Buyer); i <= uint256(Role.ThirdSupplier); ++i) {
            credits += _world.shipments.creditOf(address(_actors[i]), _world.token);
        }
    }

    function _coverMoney() private view returns (uint256 sum) {
        for (uint256 i = 0; i < _capitalists.length; ++i) {
            address account = address(_actorOf(_capitalists[i]));
            sum += _world.cover.creditOf(account, _world.token) + _world.cover.reservedOf(account, _world.token);
        }
    }

    /// Bonds of live assertions, and everybody's credits once there has been one.
    function _disputesMoney() private view returns (uint256 sum) {
        uint256 count = _world.disputes.assertionCount();
        if (count == 0) return 0;
        for (uint256 i = 1; i <= count; ++i) {
            IDisputes.AssertionState state = _world.disputes.assertionOf(i).state;
            if (state == IDisputes.AssertionState.Asserted) sum += BOND;
            if (state == IDisputes.AssertionState.Disputed) sum += 2 * BOND;
        }
        for (uint256 i = 0; i < ACTOR_COUNT; ++i) {
            sum += _world.disputes.creditOf(address(_actors[i]), _world.token);
        }
    }

    function _isFinal(IShipments.OrderState state) private pure returns (bool) {
        return
            state == IShipments.OrderState.Settled ||
            state == IShipments.OrderState.Cancelled ||
            state == IShipments.OrderState.Refunded;
    }

    /// What a step has read is thrown away: or ten of them would pay for each other's memory.
    function _freeMemory() private pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function _setFreeMemory(uint256 free) private pure {
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
