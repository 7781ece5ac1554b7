// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IFleet} from "./interfaces/IFleet.sol";

/// @title Trucks and their repair tickets
/// @notice IFleet is the document of this contract.
/// @dev Who may open tickets is a role of the AccessManager: the Shipments contract alone.
contract Fleet is IFleet, AccessManaged {
    mapping(bytes32 truck => Truck) private _trucks;
    mapping(uint256 ticketId => Ticket) private _tickets;
    /// @inheritdoc IFleet
    uint256 public ticketCount;

    constructor(address authority) AccessManaged(authority) {}

    /// @inheritdoc IFleet
    function registerTruck(bytes32 truck, address workshop) external {
        if (truck == 0) revert TruckIdZero();
        if (workshop == address(0) || workshop == msg.sender) revert WorkshopInvalid(workshop);
        address owner = _trucks[truck].owner;
        if (owner != address(0)) revert TruckAlreadyRegistered(truck, owner);
        _trucks[truck] = Truck({owner: msg.sender, workshop: workshop, openTicketCount: 0});
        emit TruckRegistered(truck, msg.sender, workshop);
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
    function closeTicket(uint256 ticketId, bytes32 inspectionDigest) external {
        Ticket storage ticket = _tickets[ticketId];
        if (ticket.openedAt == 0) revert TicketUnknown(ticketId);
        if (ticket.closedAt != 0) revert TicketAlreadyClosed(ticketId, ticket.closedAt);
        Truck storage record = _trucks[ticket.truck];
        if (record.workshop != msg.sender) revert NotWorkshop(msg.sender, record.workshop);
        if (inspectionDigest == 0) revert InspectionDigestZero(ticketId);
        ticket.closedAt = uint32(block.timestamp);
        ticket.inspectionDigest = inspectionDigest;
        record.openTicketCount -= 1;
        emit TicketClosed(ticketId, ticket.truck, msg.sender, inspectionDigest);
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
        Truck storage record = _trucks[truck];
        if (record.owner == address(0)) revert TruckUnknown(truck);
        ticketId = ++ticketCount;
        record.openTicketCount += 1;
        Ticket storage ticket = _tickets[ticketId];
        ticket.truck = truck;
        ticket.orderId = orderId;
        ticket.evidenceDigest = evidenceDigest;
        ticket.openedAt = uint32(block.timestamp);
        emit TicketOpened(ticketId, truck, orderId, evidenceDigest);
    }
}
