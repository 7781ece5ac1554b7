// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Evidence} from "./Evidence.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {IFleet} from "./interfaces/IFleet.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Orders of refrigerated goods
/// @notice IShipments is the document of this contract.
contract Shipments is IShipments, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// What the parties agreed on, once for an order and all its replacements.
    struct Agreement {
        address buyer;
        uint32 deliverySecMax;
        address carrier;
        IERC20 token;
        uint128 price;
        address[] suppliers;
    }

    /// An order. The first slot has all that evidence is judged by, so that a check reads two slots: it and the device.
    struct Record {
        OrderState state;
        uint8 supplierIndex;
        uint64 agreementId;
        uint32 placedAt;
        uint32 dispatchedAt;
        uint8 channel;
        int16 lowerLimitCentiC;
        int16 upperLimitCentiC;
        uint32 excursionSecMin;
        uint16 sampleGapSecMax;
        bytes32 device;
        bytes32 truck;
        bytes32 evidenceDigest;
        uint64 replacementId;
        uint64 replacementOf;
        uint64 ticketId;
        uint32 deliveredAt;
    }

    uint256 private constant SUPPLIER_COUNT_MAX = 8;
    /// Twice what Fleet.openTicket takes on cold storage, the AccessManager's answer included (gas.json).
    uint256 private constant REPAIR_GAS = 200_000;

    /// @inheritdoc IShipments
    IDeviceRegistry public immutable registry;
    /// @inheritdoc IShipments
    IFleet public immutable fleet;
    /// @inheritdoc IShipments
    uint256 public orderCount;

    mapping(uint256 orderId => Record) private _orders;
    /// By the id of the first order under it.
    mapping(uint256 agreementId => Agreement) private _agreements;
    mapping(address account => mapping(IERC20 token => uint256)) private _credits;

    constructor(IDeviceRegistry registry_, IFleet fleet_) {
        registry = registry_;
        fleet = fleet_;
    }

    /// @inheritdoc IShipments
    function place(Terms calldata terms) external nonReentrant returns (uint256 orderId) {
        _requireTerms(terms);
        orderId = ++orderCount;
        _agreements[orderId] = Agreement({
            buyer: msg.sender,
            deliverySecMax: terms.deliverySecMax,
            carrier: terms.carrier,
            token: terms.token,
            price: terms.price,
            suppliers: terms.suppliers
        });
        Record storage record = _orders[orderId];
        record.state = OrderState.Placed;
        record.agreementId = uint64(orderId);
        record.placedAt = uint32(block.timestamp);
        record.channel = terms.channel;
        record.lowerLimitCentiC = terms.lowerLimitCentiC;
        record.upperLimitCentiC = terms.upperLimitCentiC;
        record.excursionSecMin = terms.excursionSecMin;
        record.sampleGapSecMax = terms.sampleGapSecMax;
        emit OrderPlaced(orderId, msg.sender, terms.suppliers[0], terms.token, terms.price);
        uint256 before = terms.token.balanceOf(address(this));
        terms.token.safeTransferFrom(msg.sender, address(this), terms.price);
        uint256 received = terms.token.balanceOf(address(this)) - before;
        if (received != terms.price) revert AmountReceivedNot(received, terms.price);
    }

    /// @inheritdoc IShipments
    function accept(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        _requireCaller(_supplierOf(record));
        record.state = OrderState.Accepted;
        emit OrderAccepted(orderId, msg.sender);
    }

    /// @inheritdoc IShipments
    function decline(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        _requireCaller(_supplierOf(record));
        address next = _supplierAfter(record);
        emit OrderDeclined(orderId, msg.sender, next);
        if (next == address(0)) _refund(orderId, record);
        else record.supplierIndex += 1;
    }

    /// @inheritdoc IShipments
    function cancel(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        _requireCaller(_agreements[record.agreementId].buyer);
        _refund(orderId, record);
    }

    /// @inheritdoc IShipments
    function expire(uint256 orderId) external {
        Record storage record = _orders[orderId];
        if (record.state != OrderState.Accepted) _requireState(orderId, OrderState.Placed);
        uint256 deadlineAt = uint256(record.placedAt) + _agreements[record.agreementId].deliverySecMax;
        if (block.timestamp <= deadlineAt) revert DeadlineNotPassed(orderId, deadlineAt, block.timestamp);
        _refund(orderId, record);
    }

    /// @inheritdoc IShipments
    function dispatchOrder(uint256 orderId, bytes32 device, bytes32 truck) external {
        Record storage record = _requireState(orderId, OrderState.Accepted);
        address carrier = _agreements[record.agreementId].carrier;
        _requireCaller(carrier);
        if (!registry.isValidDuring(device, block.timestamp, block.timestamp)) {
            revert DeviceNotValid(device, block.timestamp, block.timestamp);
        }
        IDeviceRegistry.Device memory known = registry.deviceOf(device);
        if (known.owner != carrier) revert DeviceNotOfCarrier(device, known.owner, carrier);
        if (known.calibrationUntil <= block.timestamp) {
            revert DeviceNotCalibrated(device, known.calibrationUntil, block.timestamp);
        }
        address truckOwner = fleet.truckOf(truck).owner;
        if (truckOwner != carrier) revert TruckNotOfCarrier(truck, truckOwner, carrier);
        if (fleet.isLocked(truck)) revert TruckInRepair(truck);
        record.state = OrderState.InTransit;
        record.dispatchedAt = uint32(block.timestamp);
        record.device = device;
        record.truck = truck;
        emit OrderDispatched(orderId, device, truck, carrier, uint32(block.timestamp));
    }

    /// @inheritdoc IShipments
    function deliver(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.InTransit);
        _requireCaller(_agreements[record.agreementId].buyer);
        record.state = OrderState.Delivered;
        record.deliveredAt = uint32(block.timestamp);
        emit OrderDelivered(orderId, msg.sender, uint32(block.timestamp));
    }

    /// @inheritdoc IShipments
    function settle(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Delivered);
        Agreement storage agreement = _agreements[record.agreementId];
        address supplier = _supplierOf(record);
        record.state = OrderState.Settled;
        _credits[supplier][agreement.token] += agreement.price;
        emit OrderSettled(orderId, supplier, agreement.price);
    }

    /// @inheritdoc IShipments
    function withdraw(IERC20 token) external nonReentrant returns (uint256 amount) {
        amount = _credits[msg.sender][token];
        if (amount == 0) revert CreditZero(msg.sender, token);
        _credits[msg.sender][token] = 0;
        emit CreditWithdrawn(msg.sender, token, amount);
        token.safeTransfer(msg.sender, amount);
    }

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
        Record storage record = _orders[orderId];
        record.state = OrderState.Cancelled;
        record.evidenceDigest = digest;
        emit OrderCancelled(
            orderId,
            digest,
            excursion.startedAt,
            excursion.durationSec,
            excursion.peakCentiC,
            msg.sender
        );
        replacementId = _replace(orderId, record);
        uint64 ticketId = _tryOpenTicket(uint64(orderId), record.truck, digest);
        if (ticketId == 0) {
            emit RepairRequestFailed(orderId, record.truck);
        } else {
            record.ticketId = ticketId;
            emit RepairRequested(orderId, record.truck, ticketId);
        }
    }

    /// @inheritdoc IShipments
    function requestRepair(uint256 orderId) external nonReentrant returns (uint256 ticketId) {
        Record storage record = _requireState(orderId, OrderState.Cancelled);
        if (record.ticketId != 0) revert RepairAlreadyRequested(orderId, record.ticketId);
        ticketId = fleet.openTicket(record.truck, uint64(orderId), record.evidenceDigest);
        record.ticketId = uint64(ticketId);
        emit RepairRequested(orderId, record.truck, ticketId);
    }

    /// @inheritdoc IShipments
    function order(uint256 orderId) external view returns (Order memory) {
        Record storage record = _orders[orderId];
        if (record.state == OrderState.None) return _emptyOrder();
        Agreement storage agreement = _agreements[record.agreementId];
        return
            Order({
                state: record.state,
                buyer: agreement.buyer,
                supplier: _supplierOf(record),
                device: record.device,
                truck: record.truck,
                placedAt: record.placedAt,
                dispatchedAt: record.dispatchedAt,
                deliveredAt: record.deliveredAt,
                replacementId: record.replacementId,
                replacementOf: record.replacementOf,
                evidenceDigest: record.evidenceDigest,
                ticketId: record.ticketId,
                terms: Terms({
                    token: agreement.token,
                    price: agreement.price,
                    carrier: agreement.carrier,
                    channel: record.channel,
                    lowerLimitCentiC: record.lowerLimitCentiC,
                    upperLimitCentiC: record.upperLimitCentiC,
                    excursionSecMin: record.excursionSecMin,
                    sampleGapSecMax: record.sampleGapSecMax,
                    deliverySecMax: agreement.deliverySecMax,
                    suppliers: agreement.suppliers
                })
            });
    }

    /// @inheritdoc IShipments
    function creditOf(address account, IERC20 token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc IShipments
    function digestEvidence(ExcursionEvidence calldata evidence) external view returns (bytes32) {
        return Evidence.digestOf(evidence);
    }

    /// Guards in this order: the order in transit, the evidence, and the device's validity over the run that it proved.
    function _verify(
        uint256 orderId,
        ExcursionEvidence calldata evidence
    ) private view returns (Excursion memory excursion, bytes32 digest) {
        Record storage record = _orders[orderId];
        if (record.state != OrderState.InTransit) {
            digest = Evidence.digestOf(evidence);
            if (record.evidenceDigest == digest) revert EvidenceAlreadyUsed(digest);
            revert OrderStateNot(orderId, record.state, OrderState.InTransit);
        }
        Evidence.Claim memory claim = Evidence.Claim({
            device: record.device,
            dispatchedAt: record.dispatchedAt,
            nowAt: block.timestamp,
            terms: ExcursionTerms({
                channel: record.channel,
                lowerLimitCentiC: record.lowerLimitCentiC,
                upperLimitCentiC: record.upperLimitCentiC,
                excursionSecMin: record.excursionSecMin,
                sampleGapSecMax: record.sampleGapSecMax
            })
        });
        (excursion, digest) = Evidence.verify(evidence, claim);
        uint256 until = uint256(excursion.startedAt) + excursion.durationSec;
        if (!registry.isValidDuring(claim.device, excursion.startedAt, until)) {
            revert DeviceNotValid(claim.device, excursion.startedAt, until);
        }
    }

    /// The escrow goes to one new order with the next supplier, or back to the buyer's credit; no token moves.
    function _replace(uint256 orderId, Record storage record) private returns (uint256 replacementId) {
        address supplier = _supplierAfter(record);
        if (supplier == address(0)) {
            _creditBuyer(orderId, record);
            return 0;
        }
        replacementId = ++orderCount;
        record.replacementId = uint64(replacementId);
        Record storage replacement = _orders[replacementId];
        replacement.state = OrderState.Placed;
        replacement.supplierIndex = record.supplierIndex + 1;
        replacement.agreementId = record.agreementId;
        replacement.placedAt = uint32(block.timestamp);
        replacement.channel = record.channel;
        replacement.lowerLimitCentiC = record.lowerLimitCentiC;
        replacement.upperLimitCentiC = record.upperLimitCentiC;
        replacement.excursionSecMin = record.excursionSecMin;
        replacement.sampleGapSecMax = record.sampleGapSecMax;
        replacement.replacementOf = uint64(orderId);
        emit OrderReplaced(orderId, replacementId, supplier);
    }

    /// The ticket's id, or 0 when the Fleet failed in whatever way. A low-level call, because `try` would revert on an
    /// answer that does not decode; with gas of its own, so that a Fleet that burns it all does not stop the rest; and
    /// with a floor, so that a caller cannot make it fail by sending too little (EIP-150 hands on at most 63/64).
    function _tryOpenTicket(uint64 orderId, bytes32 truck, bytes32 digest) private returns (uint64 ticketId) {
        bytes memory request = abi.encodeCall(IFleet.openTicket, (truck, orderId, digest));
        address target = address(fleet);
        uint256 gasLeft = gasleft();
        uint256 gasNeeded = (REPAIR_GAS * 64) / 63 + 3_000;
        if (gasLeft < gasNeeded) revert GasTooLow(gasLeft, gasNeeded);
        uint256 answer;
        assembly ("memory-safe") {
            let isDone := call(REPAIR_GAS, target, 0, add(request, 0x20), mload(request), 0x00, 0x20)
            if and(isDone, gt(returndatasize(), 0x1f)) {
                answer := mload(0x00)
            }
        }
        return answer > type(uint64).max ? 0 : uint64(answer);
    }

    function _refund(uint256 orderId, Record storage record) private {
        record.state = OrderState.Refunded;
        _creditBuyer(orderId, record);
    }

    function _creditBuyer(uint256 orderId, Record storage record) private {
        Agreement storage agreement = _agreements[record.agreementId];
        _credits[agreement.buyer][agreement.token] += agreement.price;
        emit OrderRefunded(orderId, agreement.buyer, agreement.price);
    }

    function _supplierOf(Record storage record) private view returns (address) {
        return _agreements[record.agreementId].suppliers[record.supplierIndex];
    }

    /// The next in the list, or zero.
    function _supplierAfter(Record storage record) private view returns (address) {
        address[] storage suppliers = _agreements[record.agreementId].suppliers;
        uint256 next = uint256(record.supplierIndex) + 1;
        return next < suppliers.length ? suppliers[next] : address(0);
    }

    function _requireState(uint256 orderId, OrderState want) private view returns (Record storage record) {
        record = _orders[orderId];
        if (record.state != want) revert OrderStateNot(orderId, record.state, want);
    }

    function _requireCaller(address want) private view {
        if (msg.sender != want) revert CallerNot(msg.sender, want);
    }

    function _requireTerms(Terms calldata terms) private view {
        if (address(terms.token).code.length == 0) revert TokenInvalid(terms.token);
        if (terms.price == 0) revert PriceZero();
        if (terms.carrier == address(0)) revert CarrierZero();
        // Supply, return, setpoint, ambient and the cargo probes of wire/channel.ts: all else has no limits in degrees.
        uint8 channel = terms.channel;
        if (!((channel >= 1 && channel <= 4) || (channel >= 16 && channel <= 31))) {
            revert ChannelNotTemperature(channel);
        }
        if (terms.lowerLimitCentiC >= terms.upperLimitCentiC) {
            revert LimitsNotOrdered(terms.lowerLimitCentiC, terms.upperLimitCentiC);
        }
        if (terms.excursionSecMin == 0 || terms.sampleGapSecMax == 0 || terms.deliverySecMax == 0) {
            revert DurationZero(terms.excursionSecMin, terms.sampleGapSecMax, terms.deliverySecMax);
        }
        uint256 count = terms.suppliers.length;
        if (count == 0 || count > SUPPLIER_COUNT_MAX) revert SupplierCountOutOfRange(count, SUPPLIER_COUNT_MAX);
        for (uint256 i = 0; i < count; ++i) {
            address supplier = terms.suppliers[i];
            if (supplier == address(0)) revert SupplierInvalid(i, supplier);
            for (uint256 j = 0; j < i; ++j) {
                if (terms.suppliers[j] == supplier) revert SupplierInvalid(i, supplier);
            }
        }
    }

    function _emptyOrder() private pure returns (Order memory empty) {}
}
