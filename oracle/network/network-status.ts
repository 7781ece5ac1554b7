/** What a node knows of its consortium, for `GET /api/v1/status`. Times are Unix seconds of the node's own clock. */
import { bytesToHex } from '@coldproof/wire';
import type { Clock } from '../clock.ts';
import type { Store } from '../store.ts';
import { pulseTurns } from './anchor.ts';
import type { Network } from './network.ts';

export type NetworkStatus = ReturnType<typeof readNetworkStatus>;

/** A node that has shown no sign of life for so many of its pulses is taken for away. */
const silentPulses = 3;

export function readNetworkStatus(
  network: Network,
  {
    store,
    pace,
    f,
    turnMs,
    isConnected,
  }: { store: Store; pace: Clock; f: number; turnMs: number; isConnected: () => boolean },
) {
  const { peers, standing, monitors, collect, slots } = network;
  const nowMs = pace.nowMs();
  const awayMs = silentPulses * pulseTurns * turnMs;
  const isHeard = (id: string) => nowMs - (network.heardMs.get(id) ?? Number.NEGATIVE_INFINITY) <= awayMs;
  const present = 1 + peers.others.filter(({ id }) => isHeard(id)).length;
  const quorum = 2 * f + 1;
  const isSigner = network.isSigner;
  return {
    /** 'without-quorum': more than f nodes are away; nothing is attested until one is back. */
    state: !isSigner ? ('not-a-signer' as const) : present < quorum ? ('without-quorum' as const) : ('ready' as const),
    name: peers.self.name,
    address: `0x${bytesToHex(peers.self.address)}`,
    config: standing.config === undefined ? null : bytesToHex(standing.config.domain.config),
    nodes: peers.all.length,
    present,
    quorum,
    isConnected: isConnected(),
    chainError: standing.error ?? null,
    peers: peers.others.map((peer) => {
      const monitor = monitors.find((each) => each.peer === peer);
      const heardMs = network.heardMs.get(peer.id);
      return {
        name: peer.name,
        address: `0x${bytesToHex(peer.address)}`,
        log: peer.id,
        isPresent: isHeard(peer.id),
        isSigner: standing.isSigner(peer),
        heardAt: heardMs === undefined ? null : Math.floor(heardMs / 1_000),
        logState: monitor?.state ?? null,
        logSize: store.quorum.followed(peer.id)?.size ?? null,
        leavesRead: store.quorum.followed(peer.id)?.leafCount ?? null,
        leavesSkipped: monitor?.skipped ?? null,
        leavesRemoved: monitor?.removed ?? null,
      };
    }),
    reports: slots.all.map(({ due, openedMs }) => ({
      orderId: due.orderId,
      cryptlet: due.cryptlet,
      sequence: due.sequence,
      lastSequence: due.lastSequence,
      signatures: collect.count(due),
      openSince: Math.floor(openedMs / 1_000),
    })),
    anchor: {
      size: standing.anchored?.size ?? 0,
      anchoredAt:
        standing.anchored === undefined || standing.anchored.size === 0 ? null : standing.anchored.anchoredAtSec,
      underWay: network.anchor.candidate ?? null,
    },
    refused: Object.fromEntries(network.refused),
    accusations: store.quorum.accusations().map(({ accused, subject, place }) => ({ accused, subject, place })),
  };
}
