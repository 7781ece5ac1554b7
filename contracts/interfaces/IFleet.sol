// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Trucks and their maintenance books
/// @notice A truck with an open repair ticket is locked: it is dispatched with nothing until a registered workshop that
/// is not its owner has signed a pre-trip inspection for each open ticket. All that happens to a truck is an entry of
/// its book. Entries are events; the contract keeps their count and a running digest, `bookHead`, by which anybody can
/// check a copy of the book: keccak256(abi.encode(bookHead before, entry)), from the truck's id on.
interface IFleet {
    enum EntryKind {
        Registration,
        TicketOpening,
        TicketClosing,
        Transfer,
        /// The kinds from here on are services, which a workshop enters with addService.
        Maintenance,
        Repair,
        RefrigerationService
    }

    struct Truck {
        /// The carrier that registered it, or took it over.
        address owner;
        /// Open repair tickets; the truck is locked while there is one.
        uint32 openTicketCount;
        /// As of the last entry that read it.
        uint32 odometerKm;
        /// Entries in its book.
        uint32 entryCount;
        /// Who may take it over, 0 for nobody.
        address offeredTo;
        /// Running digest of its book.
        bytes32 bookHead;
    }

    struct Ticket {
        bytes32 truck;
        /// The order that asked for the repair.
        uint64 orderId;
        /// Unix seconds; closedAt is 0 while the ticket is open.
        uint32 openedAt;
        uint32 closedAt;
        /// Identity of the fact that ended that order.
        bytes32 evidenceDigest;
        /// SHA-256 of the workshop's inspection report; zero while the ticket is open.
        bytes32 inspectionDigest;
    }

    /// One entry of a truck's book.
    struct Entry {
        EntryKind kind;
        /// Unix seconds.
        uint32 enteredAt;
        uint32 odometerKm;
        /// The owner (Registration), reporter (TicketOpening), new owner (Transfer), or else the workshop.
        address author;
        /// 0 for entries that are of no ticket.
        uint256 ticketId;
        /// Of the evidence (TicketOpening), or of the workshop's report; 0 for the others.
        bytes32 digest;
    }

    /// A workshop's word that the truck of a ticket is fit to carry again.
    struct Inspection {
        address workshop;
        uint32 odometerKm;
        /// Unix seconds: when it was made, after the ticket was opened; and the last second at which it can be entered.
        uint32 inspectedAt;
        uint32 validUntil;
        /// SHA-256 of the report, not zero.
        bytes32 reportDigest;
    }

    /// A workshop's entry of work done.
    struct Service {
        address workshop;
        EntryKind kind;
        uint32 odometerKm;
        /// The entry's number in the book, from 1: so it is entered once, and after just what the workshop saw there.
        uint32 number;
        /// SHA-256 of the report, not zero.
        bytes32 reportDigest;
    }

    event WorkshopRegistered(address indexed workshop, bool isActive);
    /// @notice Entry `number` (from 1) of the truck's book, and the book's digest with it.
    event EntryAdded(bytes32 indexed truck, uint32 indexed number, Entry entry, bytes32 bookHead);
    event TicketOpened(uint256 indexed ticketId, bytes32 indexed truck, uint64 indexed orderId, bytes32 evidenceDigest);
    event TicketClosed(
        uint256 indexed ticketId,
        bytes32 indexed truck,
        address indexed workshop,
        bytes32 inspectionDigest
    );
    /// @notice `to` may take the truck over; nobody, when it is 0.
    event TruckOffered(bytes32 indexed truck, address indexed owner, address indexed to);
    event TruckTransferred(bytes32 indexed truck, address indexed from, address indexed to);

    error WorkshopZero();
    error TruckIdZero();
    error TruckAlreadyRegistered(bytes32 truck, address owner);
    error TruckUnknown(bytes32 truck);
    error NotTruckOwner(address caller, address owner);
    /// @notice The truck is offered to somebody else, or to nobody.
    error TruckNotOffered(bytes32 truck, address caller, address offeredTo);
    error TicketUnknown(uint256 ticketId);
    /// @notice Closed before, at `closedAt` (Unix seconds).
    error TicketAlreadyClosed(uint256 ticketId, uint32 closedAt);
    /// @notice Not registered, or not any more.
    error WorkshopNotRegistered(address workshop);
    /// @notice Nobody inspects or services a truck of its own.
    error WorkshopIsOwner(bytes32 truck, address workshop);
    /// @notice The workshop neither sent nor signed this.
    error WorkshopSignatureInvalid(address workshop, bytes32 digest);
    error ReportDigestZero(bytes32 truck);
    /// @notice Unix seconds: not made between the ticket's opening and now.
    error InspectionTimeOutOfRange(uint32 inspectedAt, uint32 openedAt, uint256 nowAt);
    /// @notice Unix seconds.
    error InspectionExpired(uint32 validUntil, uint256 nowAt);
    error KindNotService(EntryKind kind);
    error EntryNumberNotNext(uint32 got, uint32 want);
    error OdometerBackwards(uint32 gotKm, uint32 lastKm);
    /// @notice Further from the last reading than a truck drives between two entries: a slip of the pen.
    error OdometerTooFar(uint32 gotKm, uint256 maxKm);

    /// @notice Registers a workshop, or strikes it off. For registrars only.
    function registerWorkshop(address workshop, bool isActive) external;

    /// @notice Registers a truck, once, with the caller as its owner, and begins its book.
    /// @param truck any identifier that is not zero, such as a short name in ASCII padded with zeros
    function registerTruck(bytes32 truck, uint32 odometerKm) external;

    /// @notice Offers the truck to a new owner, by the present one; 0 takes the offer back.
    function offerTruck(bytes32 truck, address to) external;

    /// @notice Takes over a truck with its book and its tickets, by whom it is offered to. An order that it carries
    /// goes on under the carrier that dispatched it, and a ticket that comes of it locks the truck whoever owns it.
    function acceptTruck(bytes32 truck) external;

    /// @notice Opens a repair ticket, which locks the truck. For authorised reporters only: the Shipments contract.
    /// @return ticketId from 1
    function openTicket(bytes32 truck, uint64 orderId, bytes32 evidenceDigest) external returns (uint256 ticketId);

    /// @notice Closes a ticket after a pre-trip inspection: by the workshop (the signature is not looked at), or by
    /// anyone who has its signature. Accounts and contracts (ERC-1271) can sign.
    /// @param signature EIP-712 of Inspection(uint256 ticketId,bytes32 truck,address workshop,uint32 odometerKm,uint32
    /// inspectedAt,uint32 validUntil,bytes32 reportDigest)
    function closeTicket(uint256 ticketId, Inspection calldata inspection, bytes calldata signature) external;

    /// @notice Enters a service in the truck's book: by the workshop, or by anyone who has its signature, as above.
    /// @param signature EIP-712 of Service(bytes32 truck,address workshop,uint8 kind,uint32 odometerKm,uint32 number,
    /// bytes32 reportDigest)
    function addService(bytes32 truck, Service calldata service, bytes calldata signature) external;

    /// @notice Zeros for a truck that is not registered.
    function truckOf(bytes32 truck) external view returns (Truck memory);

    /// @notice Whether the truck has an open ticket.
    function isLocked(bytes32 truck) external view returns (bool);

    function isWorkshop(address account) external view returns (bool);

    /// @notice Zeros for a ticket that does not exist.
    function ticketOf(uint256 ticketId) external view returns (Ticket memory);

    /// @notice Tickets opened so far; their ids are 1 to this.
    function ticketCount() external view returns (uint256);
}
