// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Conclusions} from "./Conclusions.sol";
import {OrderBook} from "./OrderBook.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {IFleet} from "./interfaces/IFleet.sol";
import {IReconciliation} from "./interfaces/IReconciliation.sol";
import {IShipments} from "./interfaces/IShipments.sol";

/// @title Orders of refrigerated goods
/// @notice IShipments is the document of this contract. Here are the moves of an order's ordinary life; the contracts
/// that it is made of have the others: OrderBook the records and the money, Aftermath repair and cover, Cancellation
/// the replacement and the breaker, Quarantine the disposal, Conclusions the evidence.
/// @dev Roles of the AccessManager: guardians pause, approvers approve held orders, risk officers set the breaker.
contract Shipments is Conclusions, EIP712, Pausable {
    using SafeERC20 for IERC20;

    bytes32 private constant DELIVERY_TYPEHASH = keccak256("Delivery(uint256 orderId,uint64 quantity)");

    /// @inheritdoc IShipments
    mapping(uint256 agreementId => uint256 orderId) public orderOf;

    constructor(
        address authority,
        IAgreements agreements_,
        IDeviceRegistry registry_,
        IFleet fleet_
    ) OrderBook(agreements_, registry_, fleet_) AccessManaged(authority) EIP712("Coldproof", "1") {}

    /// @inheritdoc IShipments
    function place(uint256 agreementId) external nonReentrant whenNotPaused returns (uint256 orderId) {
        IAgreements.Terms memory terms = agreements.termsOf(agreementId);
        _requireCaller(terms.buyer);
        if (orderOf[agreementId] != 0) revert AgreementAlreadyPlaced(agreementId, orderOf[agreementId]);
        orderId = _open({agreementId: uint48(agreementId), supplierIndex: 0, reorderCount: 0, replacementOf: 0});
        orderOf[agreementId] = orderId;
        _allow(agreementId, terms);
        emit OrderPlaced(orderId, agreementId, msg.sender, terms.suppliers[0], terms.token, terms.price);
        uint256 before = terms.token.balanceOf(address(this));
        terms.token.safeTransferFrom(msg.sender, address(this), terms.price);
        uint256 received = terms.token.balanceOf(address(this)) - before;
        if (received != terms.price) revert AmountReceivedNot(received, terms.price);
    }

    /// @inheritdoc IShipments
    function accept(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.suppliers[record.supplierIndex]);
        _requireNotPassed(orderId, record, terms);
        record.state = OrderState.Accepted;
        emit OrderAccepted(orderId, msg.sender);
    }

    /// @inheritdoc IShipments
    function decline(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.suppliers[record.supplierIndex]);
        uint256 next = uint256(record.supplierIndex) + 1;
        bool isLast = next == terms.suppliers.length;
        emit OrderDeclined(orderId, msg.sender, isLast ? address(0) : terms.suppliers[next]);
        if (isLast) _refund(orderId, record, terms);
        else record.supplierIndex = uint8(next);
    }

    /// @inheritdoc IShipments
    function cancel(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Placed);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.buyer);
        _refund(orderId, record, terms);
    }

    /// @inheritdoc IShipments
    function expire(uint256 orderId) external {
        Record storage record = _orders[orderId];
        OrderState state = record.state;
        bool isWaiting = state == OrderState.Accepted ||
            state == OrderState.InTransit ||
            state == OrderState.Quarantined;
        if (!isWaiting) _requireState(orderId, OrderState.Placed);
        IAgreements.Terms memory terms = _termsOf(record);
        _requirePassed(orderId, record, terms);
        if (state == OrderState.Quarantined) _cancel(orderId, record, terms);
        else _refund(orderId, record, terms);
    }

    /// @inheritdoc IShipments
    function dispatchOrder(uint256 orderId, bytes32 device, bytes32 truck) external whenNotPaused {
        Record storage record = _requireState(orderId, OrderState.Accepted);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.carrier);
        _requireNotPassed(orderId, record, terms);
        _requireEquipment(device, truck, terms.carrier);
        if (terms.reconciliation != address(0) && !IReconciliation(terms.reconciliation).isReconciled(orderId)) {
            revert NotReconciled(orderId, terms.reconciliation);
        }
        record.state = OrderState.InTransit;
        record.dispatchedAt = uint32(block.timestamp);
        record.judgedFrom = uint32(block.timestamp);
        record.device = device;
        record.truck = truck;
        emit OrderDispatched(orderId, device, truck, terms.carrier, uint32(block.timestamp));
    }

    /// @inheritdoc IShipments
    function deliver(uint256 orderId, uint64 quantity) external {
        Record storage record = _requireState(orderId, OrderState.InTransit);
        IAgreements.Terms memory terms = _termsOf(record);
        _requireCaller(terms.consignee);
        _deliver(orderId, record, terms, quantity);
    }

    /// @inheritdoc IShipments
    function deliverSigned(uint256 orderId, uint64 quantity, bytes calldata signature) external {
        Record storage record = _requireState(orderId, OrderState.InTransit);
        IAgreements.Terms memory terms = _termsOf(record);
        bytes32 digest = digestDelivery(orderId, quantity);
        if (!SignatureChecker.isValidSignatureNowCalldata(terms.consignee, digest, signature)) {
            revert ConsigneeSignatureInvalid(terms.consignee, digest);
        }
        _deliver(orderId, record, terms, quantity);
    }

    /// @inheritdoc IShipments
    function settle(uint256 orderId) external {
        Record storage record = _requireState(orderId, OrderState.Delivered);
        IAgreements.Terms memory terms = _termsOf(record);
        if (msg.sender != terms.buyer) _requirePassed(orderId, record, terms);
        record.state = OrderState.Settled;
        _creditSupplier(orderId, record, terms, terms.price);
    }

    /// @inheritdoc IShipments
    function postpone(uint256 orderId, uint32 until) external {
        Record storage record = _requireJudged(orderId);
        _requireCaller(_termsOf(record).attested.disputes);
        if (until <= record.postponedUntil) return;
        record.postponedUntil = until;
        emit SettlementPostponed(orderId, until);
    }

    /// @inheritdoc IShipments
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc IShipments
    function unpause() external restricted {
        _unpause();
    }

    /// @inheritdoc IShipments
    function digestDelivery(uint256 orderId, uint64 quantity) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(DELIVERY_TYPEHASH, orderId, quantity)));
    }

    function _deliver(
        uint256 orderId,
        Record storage record,
        IAgreements.Terms memory terms,
        uint64 quantity
    ) private {
        if (quantity != terms.quantity) revert PartDelivery(quantity, terms.quantity);
        record.state = OrderState.Delivered;
        record.deliveredAt = uint32(block.timestamp);
        emit OrderDelivered(orderId, terms.consignee, quantity, uint32(block.timestamp));
    }

    /// The carrier's own device, enrolled and calibrated, and its own truck, not in repair.
    function _requireEquipment(bytes32 device, bytes32 truck, address carrier) private view {
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
    }
}
