// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Cancellation} from "./Cancellation.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @notice Goods set aside until the terms' quality authority has decided on them.
abstract contract Quarantine is Cancellation {
    /// @inheritdoc IShipments
    function dispose(
        uint256 orderId,
        Disposition disposition,
        uint64 quantityReleased,
        bytes32 reasonDigest
    ) external returns (uint256 replacementId) {
        Record storage record = _requireState(orderId, OrderState.Quarantined);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.quality.authority);
        Disposition fitting = quantityReleased == 0
            ? Disposition.Rejected
            : quantityReleased < terms.quantity
                ? Disposition.PartlyReleased
                : Disposition.Released;
        if (disposition != fitting || quantityReleased > terms.quantity) {
            revert DispositionInvalid(disposition, quantityReleased, terms.quantity);
        }
        emit OrderDisposed(orderId, msg.sender, disposition, quantityReleased, reasonDigest);
        if (disposition == Disposition.Rejected) return _cancel(orderId, record, terms);
        if (disposition == Disposition.Released) _release(record);
        else _settlePart(orderId, record, terms, quantityReleased);
    }

    /// Sets the goods aside by the fact in the record.
    function _quarantine(uint256 orderId, Record storage record, IAgreements.Terms memory terms) internal {
        record.state = OrderState.Quarantined;
        record.suspendedAt = uint32(block.timestamp);
        emit OrderQuarantined(orderId, record.evidenceDigest, record.cause, msg.sender);
        _requestAll(orderId, record, terms);
    }

    /// Back to where the order was. What came before is judged: evidence counts from now on, which for delivered goods
    /// is none, as theirs ends with the delivery. An order in transit has its whole transit time anew.
    function _release(Record storage record) private {
        record.state = record.deliveredAt == 0 ? OrderState.InTransit : OrderState.Delivered;
        record.judgedFrom = uint32(block.timestamp);
    }

    /// The supplier's part is rounded down, and the buyer has the rest, to the unit.
    function _settlePart(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms,
        uint64 quantityReleased
    ) private {
        uint256 amount = (uint256(terms.price) * quantityReleased) / terms.quantity;
        record.state = OrderState.Settled;
        _creditSupplier(orderId, record, terms, amount);
        _creditBuyer(orderId, terms, terms.price - amount);
    }
}
