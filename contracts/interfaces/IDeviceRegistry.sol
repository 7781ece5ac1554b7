// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Devices, their keys, and when to believe them
/// @notice A device is SHA-256(x ‖ y) of its P-256 key. It is enrolled once, with its own signed consent, and never
/// again.
interface IDeviceRegistry {
    struct Device {
        address owner;
        /// Unix seconds; evidence counts for samples in [validFrom, revokedFrom).
        uint32 validFrom;
        /// Unix seconds; type(uint32).max for a device that is not revoked.
        uint32 revokedFrom;
        /// Unix seconds; the device is dispatched with no order from then on.
        uint32 calibrationUntil;
        /// ISO 6346 container number, 11 ASCII characters.
        bytes11 asset;
        bytes32 x;
        bytes32 y;
        /// SHA-256 of the calibration certificate.
        bytes32 calibrationDigest;
    }

    /// @notice ES256, low s.
    struct Signature {
        bytes32 r;
        bytes32 s;
    }

    /// @notice A device is known from `validFrom` on. Times are Unix seconds.
    event DeviceEnrolled(
        bytes32 indexed device,
        address indexed owner,
        bytes11 indexed asset,
        bytes32 x,
        bytes32 y,
        uint32 validFrom,
        bytes32 calibrationDigest,
        uint32 calibrationUntil
    );
    /// @notice No sample from `revokedFrom` (Unix seconds) on counts any more.
    event DeviceRevoked(bytes32 indexed device, address indexed owner, uint32 revokedFrom);

    /// @notice From `from` (Unix seconds) on, `successor` speaks where `device` spoke. DeviceEnrolled and DeviceRevoked
    /// tell the same of each.
    event DeviceRotated(
        bytes32 indexed device,
        bytes32 indexed successor,
        address indexed owner,
        uint32 from
    );

    /// @notice This key has been enrolled before.
    error DeviceAlreadyEnrolled(bytes32 device, address owner);
    error DeviceUnknown(bytes32 device);
    error NotDeviceOwner(address caller, address owner);
    /// @notice Not an ISO 6346 container number with a right check digit.
    error AssetInvalid(bytes11 asset);
    /// @notice (x, y) is not a point of P-256 other than infinity.
    error KeyNotOnCurve(bytes32 x, bytes32 y);
    /// @notice The certificate was no longer valid at enrolment. Unix seconds.
    error CalibrationExpired(uint32 calibrationUntil, uint256 nowAt);
    /// @notice Not a low-s signature of the device's key over this chain, registry, owner and asset.
    error ConsentInvalid(bytes32 device, address owner, bytes11 asset);
    /// @notice A revocation moves only back in time. Unix seconds.
    error RevocationNotEarlier(uint32 got, uint32 revokedFrom);
    /// @notice A key has one successor at most.
    error DeviceAlreadyRotated(bytes32 device, bytes32 successor);
    /// @notice The successor would speak before its predecessor did. Unix seconds.
    error RotationBeforeEnrolment(uint32 from, uint32 validFrom);
    /// @notice Not a low-s signature of the old key over this chain, registry, successor and time.
    error RotationConsentInvalid(bytes32 device, bytes32 successor, uint32 from);

    /// @notice Enrols a device for the caller as its owner, valid from this block's time on.
    /// @param x the device's P-256 public key
    /// @param y likewise
    /// @param asset ISO 6346 container number, 11 ASCII characters
    /// @param calibrationDigest SHA-256 of the calibration certificate
    /// @param calibrationUntil end of its validity, Unix seconds
    /// @param r the device's ES256 signature, low s, over the enrolment of wire/WIRE.md
    /// @param s likewise
    /// @return device SHA-256(x ‖ y)
    function enrol(
        bytes32 x,
        bytes32 y,
        bytes11 asset,
        bytes32 calibrationDigest,
        uint32 calibrationUntil,
        bytes32 r,
        bytes32 s
    ) external returns (bytes32 device);

    /// @notice Ends a device's validity, by its owner. May lie in the past (the time of a theft), and may later be
    /// moved back further, never forward.
    /// @param from Unix seconds
    function revoke(bytes32 device, uint32 from) external;

    /// @notice Gives a device another key, by its owner and with the old key's consent: the old one is revoked from
    /// `from` on, the successor is valid from then on, with the same owner, asset and calibration. The old key's
    /// samples before `from` stay evidence. An order in transit goes on naming the old device: rotate between two
    /// orders.
    /// @param device the device whose key is replaced
    /// @param from Unix seconds, not before its enrolment, and before its revocation
    /// @param x the successor's P-256 public key
    /// @param y likewise
    /// @param consent the old key's signature over the rotation of wire/WIRE.md
    /// @param possession the successor's own, over the enrolment of wire/WIRE.md with this owner and asset
    /// @return successor SHA-256(x ‖ y)
    function rotate(
        bytes32 device,
        uint32 from,
        bytes32 x,
        bytes32 y,
        Signature calldata consent,
        Signature calldata possession
    ) external returns (bytes32 successor);

    /// @notice The device that took this one's place; zero when none has.
    function successorOf(bytes32 device) external view returns (bytes32);

    /// @notice All that is known of a device; zeros for one that is not enrolled.
    function deviceOf(bytes32 device) external view returns (Device memory);

    /// @notice Whether the device was enrolled and not revoked in all of [from, until], Unix seconds, both included.
    function isValidDuring(bytes32 device, uint256 from, uint256 until) external view returns (bool);

    /// @notice Whether `asset` is an ISO 6346 container number: three letters, U, J or Z, six digits and the check
    /// digit.
    function isContainerNumber(bytes11 asset) external pure returns (bool);
}
