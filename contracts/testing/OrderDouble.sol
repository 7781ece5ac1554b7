// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../interfaces/IAgreements.sol";
import {ICargoCover} from "../interfaces/ICargoCover.sol";
import {IDeviceRegistry} from "../interfaces/IDeviceRegistry.sol";
import {IShipments} from "../interfaces/IShipments.sol";

/// @notice Stands in for Shipments, its Agreements and its DeviceRegistry: orders are in whatever state a test puts
/// them, and what is asked of them is noted.
contract OrderDouble {
    struct Conclusion {
        address by;
        bytes32 factDigest;
        IShipments.Cause cause;
    }

    IDeviceRegistry public registry;
    mapping(uint256 orderId => IShipments.Order) private _orders;
    mapping(uint256 agreementId => IAgreements.Terms) private _terms;
    mapping(uint256 orderId => Conclusion) public conclusionOf;
    mapping(uint256 orderId => uint32) public postponedUntilOf;
    bool public isStubborn;

    error OrderStateNot(uint256 orderId, IShipments.OrderState got, IShipments.OrderState want);
    error Stubborn(uint256 orderId);

    constructor(IDeviceRegistry registry_) {
        registry = registry_;
    }

    function setOrder(uint256 orderId, IShipments.Order calldata order_) external {
        _orders[orderId] = order_;
    }

    function setState(uint256 orderId, IShipments.OrderState state) external {
        _orders[orderId].state = state;
    }

    function setTerms(uint256 agreementId, IAgreements.Terms calldata terms) external {
        _terms[agreementId] = terms;
    }

    /// @notice From now on, or until told otherwise, no order is concluded.
    function setStubborn(bool isStubborn_) external {
        isStubborn = isStubborn_;
    }

    /// @notice Ends the order, as terms without a replacement would.
    function conclude(uint256 orderId, bytes32 factDigest, IShipments.Cause cause) external returns (uint256) {
        if (isStubborn) revert Stubborn(orderId);
        IShipments.Order storage record = _orders[orderId];
        if (record.state != IShipments.OrderState.InTransit && record.state != IShipments.OrderState.Delivered) {
            revert OrderStateNot(orderId, record.state, IShipments.OrderState.InTransit);
        }
        record.state = IShipments.OrderState.Cancelled;
        record.cause = cause;
        record.evidenceDigest = factDigest;
        conclusionOf[orderId] = Conclusion(msg.sender, factDigest, cause);
        return 0;
    }

    function postpone(uint256 orderId, uint32 until) external {
        postponedUntilOf[orderId] = until;
    }

    /// @notice Tells the cover of a fact, as Shipments does.
    function report(ICargoCover cover, uint256 orderId, bytes32 evidenceDigest) external {
        cover.onExcursion(orderId, evidenceDigest);
    }

    function agreements() external view returns (IAgreements) {
        return IAgreements(address(this));
    }

    function order(uint256 orderId) external view returns (IShipments.Order memory) {
        return _orders[orderId];
    }

    function termsOf(uint256 agreementId) external view returns (IAgreements.Terms memory) {
        return _terms[agreementId];
    }

    function isBound(uint256 agreementId, bytes32 cryptlet) external view returns (bool) {
        bytes32[] storage cryptlets = _terms[agreementId].attested.cryptlets;
        for (uint256 i = 0; i < cryptlets.length; ++i) {
            if (cryptlets[i] == cryptlet) return true;
        }
        return false;
    }
}
