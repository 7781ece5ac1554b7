// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IFleet} from "./interfaces/IFleet.sol";

/// @title Trucks and their maintenance books
/// @notice IFleet is the document of this contract.
/// @dev Two roles of the AccessManager: who may open tickets (Shipments alone), and who registers workshops.
contract Fleet is IFleet, AccessManaged, EIP712 {
    bytes32 private constant INSPECTION_TYPE =
        keccak256(
            "Inspection(uint256 ticketId,bytes32 truck,address workshop,uint32 odometerKm,uint32 inspectedAt,"
            "uint32 validUntil,bytes32 reportDigest)"
        );
    bytes32 private constant SERVICE_TYPE =
        keccak256(
            "Service(bytes32 truck,address workshop,uint8 kind,uint32 odometerKm,uint32 number,bytes32 reportDigest)"
        );
    /// More than a truck drives in a year. An odometer cannot run backwards, so a digit too many would stay for good:
    /// every later reading would be behind it.
    uint256 private constant ODOMETER_STEP_KM_MAX = 200_000;

    mapping(bytes32 truck => Truck) private _trucks;
    mapping(uint256 ticketId => Ticket) private _tickets;
    /// @inheritdoc IFleet
    mapping(address account => bool) public isWorkshop;
    /// @inheritdoc IFleet
    uint256 public ticketCount;

    constructor(address authority) AccessManaged(authority) EIP712("Coldproof", "1") {}

    /// @inheritdoc IFleet
    function registerWorkshop(address workshop, bool isActive) external restricted {
        if (workshop == address(0)) revert WorkshopZero();
        isWorkshop[workshop] = isActive;
        emit WorkshopRegistered(workshop, isActive);
    }

    /// @inheritdoc IFleet
    function registerTruck(bytes32 truck, uint32 odometerKm) external {
        if (truck == 0) revert TruckIdZero();
        Truck storage record = _trucks[truck];
        if (record.owner != address(0)) revert TruckAlreadyRegistered(truck, record.owner);
        record.owner = msg.sender;
        record.odometerKm = odometerKm;
        record.bookHead = truck;
        _addEntry(truck, EntryKind.Registration, msg.sender, 0, 0);
    }

    /// @inheritdoc IFleet
    function offerTruck(bytes32 truck, address to) external {
        Truck storage record = _requireTruck(truck);
        if (record.owner != msg.sender) revert NotTruckOwner(msg.sender, record.owner);
        record.offeredTo = to;
        emit TruckOffered(truck, msg.sender, to);
    }

    /// @inheritdoc IFleet
    function acceptTruck(bytes32 truck) external {
        Truck storage record = _requireTruck(truck);
        if (record.offeredTo != msg.sender) revert TruckNotOffered(truck, msg.sender, record.offeredTo);
        address from = record.owner;
        record.owner = msg.sender;
        record.offeredTo = address(0);
        emit TruckTransferred(truck, from, msg.sender);
        _addEntry(truck, EntryKind.Transfer, msg.sender, 0, 0);
    }

    /// @inheritdoc IFleet
    function openTicket(
        bytes32 truck,
        uint64 orderId,
        bytes32 evidenceDigest
    ) external virtual restricted returns (uint256 ticketId) {
        return _openTicket(truck, orderId, evidenceDigest);
    }

    /// @inheritdoc IFleet
    function closeTicket(uint256 ticketId, Inspection calldata inspection, bytes calldata signature) external {
        Ticket storage ticket = _tickets[ticketId];
        if (ticket.openedAt == 0) revert TicketUnknown(ticketId);
        if (ticket.closedAt != 0) revert TicketAlreadyClosed(ticketId, ticket.closedAt);
        bytes32 truck = ticket.truck;
        _requireInspectionTime(inspection, ticket.openedAt);
        _requireReport(truck, inspection.reportDigest);
        bytes32 message = keccak256(
            abi.encode(
                INSPECTION_TYPE,
                ticketId,
                truck,
                inspection.workshop,
                inspection.odometerKm,
                inspection.inspectedAt,
                inspection.validUntil,
                inspection.reportDigest
            )
        );
        _requireWorkshop(truck, inspection.workshop, message, signature);
        _advanceOdometer(truck, inspection.odometerKm);
        ticket.closedAt = uint32(block.timestamp);
        ticket.inspectionDigest = inspection.reportDigest;
        _trucks[truck].openTicketCount -= 1;
        emit TicketClosed(ticketId, truck, inspection.workshop, inspection.reportDigest);
        _addEntry(truck, EntryKind.TicketClosing, inspection.workshop, ticketId, inspection.reportDigest);
    }

    /// @inheritdoc IFleet
    function addService(bytes32 truck, Service calldata service, bytes calldata signature) external {
        uint32 next = _requireTruck(truck).entryCount + 1;
        if (service.kind < EntryKind.Maintenance) revert KindNotService(service.kind);
        if (service.number != next) revert EntryNumberNotNext(service.number, next);
        _requireReport(truck, service.reportDigest);
        bytes32 message = keccak256(
            abi.encode(
                SERVICE_TYPE,
                truck,
                service.workshop,
                service.kind,
                service.odometerKm,
                service.number,
                service.reportDigest
            )
        );
        _requireWorkshop(truck, service.workshop, message, signature);
        _advanceOdometer(truck, service.odometerKm);
        _addEntry(truck, service.kind, service.workshop, 0, service.reportDigest);
    }

    /// @inheritdoc IFleet
    function truckOf(bytes32 truck) external view returns (Truck memory) {
        return _trucks[truck];
    }

    /// @inheritdoc IFleet
    function isLocked(bytes32 truck) external view returns (bool) {
        return _trucks[truck].openTicketCount > 0;
    }

    /// @inheritdoc IFleet
    function ticketOf(uint256 ticketId) external view returns (Ticket memory) {
        return _tickets[ticketId];
    }

    function _openTicket(bytes32 truck, uint64 orderId, bytes32 evidenceDigest) internal returns (uint256 ticketId) {
        Truck storage record = _requireTruck(truck);
        ticketId = ++ticketCount;
        record.openTicketCount += 1;
        Ticket storage ticket = _tickets[ticketId];
        ticket.truck = truck;
        ticket.orderId = orderId;
        ticket.evidenceDigest = evidenceDigest;
        ticket.openedAt = uint32(block.timestamp);
        emit TicketOpened(ticketId, truck, orderId, evidenceDigest);
        _addEntry(truck, EntryKind.TicketOpening, msg.sender, ticketId, evidenceDigest);
    }

    function _addEntry(bytes32 truck, EntryKind kind, address author, uint256 ticketId, bytes32 digest) private {
        Truck storage record = _trucks[truck];
        uint32 number = record.entryCount + 1;
        Entry memory entry = Entry({
            kind: kind,
            enteredAt: uint32(block.timestamp),
            odometerKm: record.odometerKm,
            author: author,
            ticketId: ticketId,
            digest: digest
        });
        bytes32 bookHead = keccak256(abi.encode(record.bookHead, entry));
        record.entryCount = number;
        record.bookHead = bookHead;
        emit EntryAdded(truck, number, entry, bookHead);
    }

    function _advanceOdometer(bytes32 truck, uint32 odometerKm) private {
        Truck storage record = _trucks[truck];
        uint32 lastKm = record.odometerKm;
        if (odometerKm < lastKm) revert OdometerBackwards(odometerKm, lastKm);
        uint256 maxKm = lastKm + ODOMETER_STEP_KM_MAX;
        if (odometerKm > maxKm) revert OdometerTooFar(odometerKm, maxKm);
        record.odometerKm = odometerKm;
    }

    function _requireTruck(bytes32 truck) private view returns (Truck storage record) {
        record = _trucks[truck];
        if (record.owner == address(0)) revert TruckUnknown(truck);
    }

    function _requireInspectionTime(Inspection calldata inspection, uint32 openedAt) private view {
        uint32 inspectedAt = inspection.inspectedAt;
        if (inspectedAt < openedAt || inspectedAt > block.timestamp) {
            revert InspectionTimeOutOfRange(inspectedAt, openedAt, block.timestamp);
        }
        if (inspection.validUntil < block.timestamp) revert InspectionExpired(inspection.validUntil, block.timestamp);
    }

    function _requireReport(bytes32 truck, bytes32 reportDigest) private pure {
        if (reportDigest == 0) revert ReportDigestZero(truck);
    }

    /// A registered workshop that does not own the truck, and has sent or signed this message.
    function _requireWorkshop(
        bytes32 truck,
        address workshop,
        bytes32 message,
        bytes calldata signature
    ) private view {
        if (!isWorkshop[workshop]) revert WorkshopNotRegistered(workshop);
        if (workshop == _trucks[truck].owner) revert WorkshopIsOwner(truck, workshop);
        if (workshop == msg.sender) return;
        bytes32 digest = _hashTypedDataV4(message);
        if (!SignatureChecker.isValidSignatureNowCalldata(workshop, digest, signature)) {
            revert WorkshopSignatureInvalid(workshop, digest);
        }
    }
}
