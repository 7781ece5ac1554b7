/** What a transaction offers for its gas (EIP-1559), in wei a unit. Pure. */

export type Fees = { readonly feeWeiMax: bigint; readonly priorityFeeWei: bigint };

/** Nodes take a replacement from 10 % more on. */
const bumpPercent = 20n;
const priorityFeeWeiMin = 1_000_000_000n;

/** At the market, and dearer than what it replaces. Undefined when that is over the cap. */
export function feesOf(
  { baseFeeWei, priorityFeeWei: asked }: { baseFeeWei: bigint; priorityFeeWei: bigint },
  replaced: Fees,
  cap: bigint,
): Fees | undefined {
  const priorityFeeWei = most(asked, priorityFeeWeiMin, bumped(replaced.priorityFeeWei));
  const least = most(baseFeeWei + priorityFeeWei, bumped(replaced.feeWeiMax));
  if (least > cap) return undefined;
  const wanted = most(2n * baseFeeWei + priorityFeeWei, least);
  return { feeWeiMax: wanted < cap ? wanted : cap, priorityFeeWei };
}

function bumped(feeWei: bigint): bigint {
  return (feeWei * (100n + bumpPercent) + 99n) / 100n;
}

function most(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (a > b ? a : b));
}
