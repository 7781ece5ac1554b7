// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IShipments} from "./IShipments.sol";

/// @title Parametric cover of a cargo
/// @notice An insurer signs a quote for one order; the buyer takes it before dispatch, and pays the premium. The payout
/// is set aside from the insurer's capital at that moment. A proved excursion (continuous or cumulative) makes it the
/// buyer's, whatever the goods came to; when the order ends without one it is the insurer's again. The premium is the
/// insurer's from the start. Silence and attested facts are not covered. A policy is for its order alone: a replacement
/// is another risk, for another quote.
/// @dev Each account has one credit per token: an insurer's capital and a buyer's payouts alike. For every token that
/// delivers what it is asked for, this contract's balance is the sum of all credits and all that is reserved. Tokens
/// whose balances change by themselves are not for it.
interface ICargoCover {
    enum PolicyState {
        None,
        Active,
        Claimed,
        Released
    }

    /// Amounts are in the token's smallest unit.
    struct Quote {
        address insurer;
        /// The order's buyer. An order's id can mean another order after a reorganisation of the chain: sign for one
        /// that is final.
        address buyer;
        uint256 orderId;
        IERC20 token;
        uint128 premium;
        uint128 payout;
        /// The last second at which it can be taken, Unix seconds.
        uint32 validUntil;
    }

    struct Policy {
        PolicyState state;
        address insurer;
        IERC20 token;
        /// In the token's smallest unit.
        uint128 payout;
    }

    event CapitalDeposited(address indexed account, IERC20 indexed token, uint256 amount);
    event CreditWithdrawn(address indexed account, IERC20 indexed token, uint256 amount);
    event PolicyTaken(
        uint256 indexed orderId,
        address indexed insurer,
        address indexed buyer,
        IERC20 token,
        uint256 premium,
        uint256 payout
    );
    /// @notice The payout is the buyer's credit now. The digest is the identity of the evidence that proved it.
    event PolicyClaimed(uint256 indexed orderId, address indexed buyer, uint256 payout, bytes32 evidenceDigest);
    /// @notice The payout is the insurer's credit again.
    event PolicyReleased(uint256 indexed orderId, address indexed insurer, uint256 payout);

    error CallerNot(address caller, address want);
    /// @notice There is no contract at this address.
    error TokenInvalid(IERC20 token);
    /// @notice The quote is for somebody who does not buy this order.
    error BuyerNot(uint256 orderId, address got, address want);
    /// @notice The order is neither placed nor accepted: it is too late for cover, or too early.
    error OrderNotCoverable(uint256 orderId, IShipments.OrderState state);
    /// @notice Unix seconds.
    error QuoteExpired(uint32 validUntil, uint256 nowAt);
    error QuoteSignatureInvalid(address insurer, bytes32 digest);
    /// @notice One policy for an order.
    error PolicyAlreadyTaken(uint256 orderId, address insurer);
    error PolicyNotActive(uint256 orderId, PolicyState state);
    /// @notice No proved excursion has ended or quarantined this order.
    error ExcursionNotProved(uint256 orderId, IShipments.OrderState state, IShipments.Cause cause);
    /// @notice The order goes on, or its policy is the buyer's to claim.
    error PolicyNotReleasable(uint256 orderId, IShipments.OrderState state, IShipments.Cause cause);
    /// @notice The insurer's capital, with the premium, does not cover the payout.
    error PoolInsufficient(uint256 got, uint256 want);
    error CreditInsufficient(address account, IERC20 token, uint256 got, uint256 want);
    /// @notice The token delivered another amount than was asked for, as one that takes a fee does.
    error AmountReceivedNot(uint256 got, uint256 want);

    /// @notice Pays capital in, by an insurer that has approved it.
    /// @param amount in the token's smallest unit
    function deposit(IERC20 token, uint256 amount) external;

    /// @notice Pays the caller's credit out: an insurer's free capital, a buyer's payout.
    /// @param amount in the token's smallest unit
    function withdraw(IERC20 token, uint256 amount) external;

    /// @notice Takes a quote, by the buyer, who has approved the premium. The premium joins the insurer's credit.
    /// @param signature EIP-712 of the quote by the insurer, an account or a contract (ERC-1271)
    function take(Quote calldata quote, bytes calldata signature) external;

    /// @notice A fact has ended or quarantined an order. From Shipments alone, once the order says so. Does nothing
    /// when there is nothing to pay; makes no call but to Shipments' own order().
    function onExcursion(uint256 orderId, bytes32 evidenceDigest) external;

    /// @notice Pays out by what Shipments says of the order, by anyone: when onExcursion did not come, or failed.
    function settleClaim(uint256 orderId) external;

    /// @notice Frees the payout of an order that has ended without a proved excursion, by anyone.
    function release(uint256 orderId) external;

    /// @notice Zeros for an order without a policy.
    function policyOf(uint256 orderId) external view returns (Policy memory);

    /// @notice What an account may withdraw, in the token's smallest unit.
    function creditOf(address account, IERC20 token) external view returns (uint256);

    /// @notice What an insurer's active policies have set aside, in the token's smallest unit.
    function reservedOf(address insurer, IERC20 token) external view returns (uint256);

    function shipments() external view returns (IShipments);
}
