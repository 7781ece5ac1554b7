/** What GET /api/v1/status and the last line of `--once --json` carry. */
import type { OracleOrder, View } from './observe.ts';
import type { Options } from './options.ts';
import type { Ending } from './scenarios.ts';
import type { Stage } from './stage.ts';

export type Status = {
  readonly scenario: string;
  readonly seed: number;
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly contracts: Readonly<Record<string, string>>;
  readonly device: string;
  readonly orderId: string;
  readonly orderState: string;
  readonly replacementOrderId: string | null;
  readonly replacementState: string | null;
  readonly repairTicketId: string | null;
  readonly transactionHash: string | null;
  readonly gasUsed: number | null;
  /** What the contract found by itself; absent while there is none. */
  readonly excursion: { readonly startedAt: string; readonly durationSec: number; readonly peakCentiC: number } | null;
  /** "proved": by device signatures on chain. */
  readonly fact: 'proved' | null;
  /** Sensor faults that the oracle found, by channel. */
  readonly sensorFaults: Readonly<Record<string, string>>;
  readonly batches: {
    readonly sealed: number;
    readonly verified: number;
    readonly rejected: number;
    readonly receipts: number;
  };
  readonly log: { readonly size: number; readonly root: string } | null;
  /** Voyage time, ISO 8601. */
  readonly voyageTime: string;
  readonly restarts: Readonly<Record<string, number>>;
  readonly expected: Ending;
  /** Null while the voyage goes on. */
  readonly endedAsExpected: boolean | null;
};

export function statusOf(
  stage: Stage,
  options: Options,
  view: View,
  ending: { readonly expected: Ending; readonly endedAsExpected: boolean | null; readonly nowMs: number },
): Status {
  const { order, replacement, ticket, agent, oracle } = view;
  const known = oracle?.orders.find((each) => each.orderId === String(stage.orderId));
  const device = agent?.devices[0];
  const isCancelled = order.state === 'Cancelled';
  return {
    scenario: options.scenario,
    seed: options.seed,
    rpcUrl: stage.chain.rpcUrl,
    chainId: stage.chain.chainId,
    contracts: Object.fromEntries(
      Object.entries(stage.parties.contracts).map(([name, { address }]) => [name, address]),
    ),
    device: stage.device,
    orderId: String(stage.orderId),
    orderState: order.state,
    replacementOrderId: replacement === undefined ? null : String(order.replacementId),
    replacementState: replacement === undefined ? null : replacement.state,
    repairTicketId: ticket === undefined ? null : String(order.ticketId),
    transactionHash: known?.transactionHash ?? null,
    gasUsed: known?.gasUsed ?? null,
    excursion: isCancelled && known?.excursion ? datedExcursion(known.excursion) : null,
    fact: isCancelled ? 'proved' : null,
    sensorFaults: Object.fromEntries(
      (oracle?.findings ?? [])
        .filter(({ kind }) => kind === 'sensor-fault')
        .map(({ channel, detail }) => [channel, detail]),
    ),
    batches: {
      sealed: device?.sealed ?? 0,
      verified: oracle?.batches.verified ?? 0,
      rejected: oracle?.batches.rejected ?? 0,
      receipts: device?.receipts ?? 0,
    },
    log: oracle?.log ?? null,
    voyageTime: new Date(ending.nowMs).toISOString(),
    restarts: Object.fromEntries(stage.children.map(({ name, restarts }) => [name, restarts])),
    expected: ending.expected,
    endedAsExpected: ending.endedAsExpected,
  };
}

function datedExcursion({ startedAt, ...rest }: NonNullable<OracleOrder['excursion']>) {
  return { startedAt: new Date(startedAt * 1_000).toISOString(), ...rest };
}
