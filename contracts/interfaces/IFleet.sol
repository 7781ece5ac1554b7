// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Trucks and their repair tickets
/// @notice A truck with an open ticket is locked: it carries nothing until its workshop has inspected it and closed the
/// ticket.
interface IFleet {
    struct Truck {
        /// The carrier that registered it.
        address owner;
        /// Who inspects it and closes its tickets.
        address workshop;
        /// Open repair tickets; the truck is locked while there is one.
        uint32 openTicketCount;
    }

    struct Ticket {
        bytes32 truck;
        /// The cancelled order that asked for the repair.
        uint64 orderId;
        /// Unix seconds; closedAt is 0 while the ticket is open.
        uint32 openedAt;
        uint32 closedAt;
        /// keccak256 identity of the evidence that cancelled it.
        bytes32 evidenceDigest;
        /// SHA-256 of the workshop's inspection report; zero while the ticket is open.
        bytes32 inspectionDigest;
    }

    event TruckRegistered(bytes32 indexed truck, address indexed owner, address indexed workshop);
    event TicketOpened(uint256 indexed ticketId, bytes32 indexed truck, uint64 indexed orderId, bytes32 evidenceDigest);
    event TicketClosed(
        uint256 indexed ticketId,
        bytes32 indexed truck,
        address indexed workshop,
        bytes32 inspectionDigest
    );

    error TruckIdZero();
    error TruckAlreadyRegistered(bytes32 truck, address owner);
    error TruckUnknown(bytes32 truck);
    /// @notice A truck is inspected by somebody other than its owner.
    error WorkshopInvalid(address workshop);
    error TicketUnknown(uint256 ticketId);
    /// @notice Closed before, at `closedAt` (Unix seconds).
    error TicketAlreadyClosed(uint256 ticketId, uint32 closedAt);
    error NotWorkshop(address caller, address workshop);
    error InspectionDigestZero(uint256 ticketId);

    /// @notice Registers a truck, once, with the caller as its owner.
    /// @param truck any identifier that is not zero, such as a short name in ASCII padded with zeros
    /// @param workshop who may close its tickets
    function registerTruck(bytes32 truck, address workshop) external;

    /// @notice Opens a repair ticket, which locks the truck. For authorised reporters only: the Shipments contract.
    /// @return ticketId from 1
    function openTicket(bytes32 truck, uint64 orderId, bytes32 evidenceDigest) external returns (uint256 ticketId);

    /// @notice Closes a ticket after a pre-trip inspection, by the truck's workshop.
    /// @param inspectionDigest SHA-256 of the inspection report
    function closeTicket(uint256 ticketId, bytes32 inspectionDigest) external;

    /// @notice Zeros for a truck that is not registered.
    function truckOf(bytes32 truck) external view returns (Truck memory);

    /// @notice Whether the truck has an open ticket.
    function isLocked(bytes32 truck) external view returns (bool);

    /// @notice Zeros for a ticket that does not exist.
    function ticketOf(uint256 ticketId) external view returns (Ticket memory);

    /// @notice Tickets opened so far; their ids are 1 to this.
    function ticketCount() external view returns (uint256);
}
