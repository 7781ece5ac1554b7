// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A feed of reports by f + 1 oracles
/// @notice A peer for the gas table, in our own words: the work that a transmission to Chainlink's OCR2Aggregator
/// (libocr) does on chain, without its payments. One slot of hot variables, one of the configuration's digest, one for
/// each signer and for the transmitter, a new one for each round, three events, and the median of the observations.
/// The original (libocr 0a5e2f9, solc 0.8.19, a million runs, billing at zero) took 91,791 gas for the same report on
/// the same chain: this peer is the cheaper one to be held against.
contract ReportFeed {
    struct HotVariables {
        uint8 f;
        uint40 latestEpochAndRound;
        uint32 latestRoundId;
    }

    struct Oracle {
        bool isActive;
        uint8 index;
    }

    struct Transmission {
        int192 answer;
        uint32 observedAt;
        uint32 transmittedAt;
    }

    int192 private immutable _lowest;
    int192 private immutable _highest;
    HotVariables private _hot;
    bytes32 private _configDigest;
    mapping(address signer => Oracle) private _signers;
    mapping(address transmitter => Oracle) private _transmitters;
    mapping(uint32 roundId => Transmission) private _transmissions;

    event NewTransmission(
        uint32 indexed roundId,
        int192 answer,
        address transmitter,
        uint32 observedAt,
        int192[] observations,
        bytes observers,
        int192 juelsPerFeeCoin,
        bytes32 configDigest,
        uint40 epochAndRound
    );
    event NewRound(uint256 indexed roundId, address indexed startedBy, uint256 startedAt);
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    error ReportStale(uint40 got, uint40 latest);
    error TransmitterUnknown(address got);
    error ConfigDigestNot(bytes32 got, bytes32 want);
    error SignatureCountNot(uint256 got, uint256 want);
    error SignerUnknown(address got);
    error SignerTwice(uint256 signedCount);
    error ObservationCountNot(uint256 got);
    error AnswerOutOfRange(int192 got);

    constructor(address[] memory signers, address[] memory transmitters, uint8 f, int192 lowest, int192 highest) {
        for (uint8 i = 0; i < signers.length; ++i) {
            _signers[signers[i]] = Oracle(true, i);
            _transmitters[transmitters[i]] = Oracle(true, i);
        }
        _hot.f = f;
        (_lowest, _highest) = (lowest, highest);
        _configDigest = keccak256(abi.encode(block.chainid, address(this), signers, transmitters, f));
    }

    function latestConfigDigest() external view returns (bytes32) {
        return _configDigest;
    }

    /// @param context Digest of the configuration, epoch and round, extra hash
    /// @param recoveryIds One byte for each signature, 0 or 1
    function transmit(
        bytes32[3] calldata context,
        bytes calldata report,
        bytes32[] calldata rs,
        bytes32[] calldata ss,
        bytes32 recoveryIds
    ) external {
        HotVariables memory hot = _hot;
        uint40 epochAndRound = uint40(uint256(context[1]));
        if (epochAndRound <= hot.latestEpochAndRound) revert ReportStale(epochAndRound, hot.latestEpochAndRound);
        if (!_transmitters[msg.sender].isActive) revert TransmitterUnknown(msg.sender);
        if (context[0] != _configDigest) revert ConfigDigestNot(context[0], _configDigest);
        if (rs.length != uint256(hot.f) + 1) revert SignatureCountNot(rs.length, uint256(hot.f) + 1);
        _requireSignatures(keccak256(abi.encode(keccak256(report), context)), rs, ss, recoveryIds);
        _store(hot, context[0], epochAndRound, report);
    }

    function _requireSignatures(
        bytes32 digest,
        bytes32[] calldata rs,
        bytes32[] calldata ss,
        bytes32 recoveryIds
    ) private view {
        uint256 signedCount = 0;
        for (uint256 i = 0; i < rs.length; ++i) {
            address signer = ecrecover(digest, uint8(recoveryIds[i]) + 27, rs[i], ss[i]);
            Oracle memory oracle = _signers[signer];
            if (!oracle.isActive) revert SignerUnknown(signer);
            signedCount += 1 << (8 * oracle.index);
        }
        if (signedCount & (type(uint256).max / 0xff) != signedCount) revert SignerTwice(signedCount);
    }

    function _store(
        HotVariables memory hot,
        bytes32 configDigest,
        uint40 epochAndRound,
        bytes calldata report
    ) private {
        (uint32 observedAt, bytes32 observers, int192[] memory observations, int192 juelsPerFeeCoin) = abi.decode(
            report,
            (uint32, bytes32, int192[], int192)
        );
        if (observations.length <= hot.f) revert ObservationCountNot(observations.length);
        int192 median = observations[observations.length / 2];
        if (median < _lowest || median > _highest) revert AnswerOutOfRange(median);
        hot.latestEpochAndRound = epochAndRound;
        ++hot.latestRoundId;
        _transmissions[hot.latestRoundId] = Transmission(median, observedAt, uint32(block.timestamp));
        _hot = hot;
        bytes memory observerIndices = bytes.concat(observers);
        emit NewTransmission(
            hot.latestRoundId,
            median,
            msg.sender,
            observedAt,
            observations,
            observerIndices,
            juelsPerFeeCoin,
            configDigest,
            epochAndRound
        );
        emit NewRound(hot.latestRoundId, address(0), observedAt);
        emit AnswerUpdated(median, hot.latestRoundId, block.timestamp);
    }
}
