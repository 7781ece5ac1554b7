// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Cryptlets: the programs whose reports contracts may act on
/// @notice A cryptlet is known by the digest of its program. Anybody publishes; a name belongs to whoever publishes
/// under it first, and its versions only grow. To publish says what a program is called and what its reports look like,
/// and vouches for nothing: which cryptlets may speak to an order is for its parties to sign (IAgreements).
/// A retired cryptlet is named by no new agreement; orders that name it already go on, and take its reports.
interface ICryptletRegistry {
    struct Cryptlet {
        address publisher;
        /// Unix seconds; retiredAt is 0 while it is active.
        uint32 publishedAt;
        uint32 retiredAt;
        /// From 1; need not be consecutive.
        uint32 version;
        /// A short name in ASCII, padded with zeros.
        bytes32 name;
        /// keccak256 of the payload's type, such as "MeanKineticTemperature(int16 centiC)".
        bytes32 interfaceId;
        /// SHA-256 of the manifest: source, build, and what the program reads.
        bytes32 manifestDigest;
    }

    event CryptletPublished(
        bytes32 indexed cryptlet,
        bytes32 indexed name,
        uint32 version,
        address indexed publisher,
        bytes32 interfaceId,
        bytes32 manifestDigest
    );
    event CryptletRetired(bytes32 indexed cryptlet, bytes32 indexed name, uint32 version, address indexed publisher);

    /// @notice The digest, the name, the interface or the manifest is zero.
    error CryptletIncomplete(bytes32 cryptlet, bytes32 name, bytes32 interfaceId, bytes32 manifestDigest);
    error CryptletAlreadyPublished(bytes32 cryptlet, address publisher);
    error NameNotOfPublisher(bytes32 name, address caller, address publisher);
    error VersionNotForward(bytes32 name, uint32 got, uint32 latest);
    error CryptletUnknown(bytes32 cryptlet);
    error NotPublisher(address caller, address publisher);
    /// @notice Unix seconds.
    error CryptletAlreadyRetired(bytes32 cryptlet, uint32 retiredAt);

    /// @notice Publishes a program, once, with the caller as its publisher, for ever.
    /// @param cryptlet digest of the program
    /// @param name one of the caller's own, or a new one
    /// @param version later than the name's latest
    function publish(
        bytes32 cryptlet,
        bytes32 name,
        uint32 version,
        bytes32 interfaceId,
        bytes32 manifestDigest
    ) external;

    /// @notice Takes a program out of use for new agreements, for ever, by its publisher.
    function retire(bytes32 cryptlet) external;

    /// @notice Zeros for one that is not published.
    function cryptletOf(bytes32 cryptlet) external view returns (Cryptlet memory);

    /// @notice The name's latest version, retired or not, and its program; zeros for a name that nobody has.
    function latestOf(bytes32 name) external view returns (uint32 version, bytes32 cryptlet);

    /// @notice Whether it was ever published.
    function isPublished(bytes32 cryptlet) external view returns (bool);

    /// @notice Whether it is published and not retired: what a new agreement asks.
    function isActive(bytes32 cryptlet) external view returns (bool);
}
