/** The oracles of the consortium, as this node's operator has written them down, and whose turn it is. */
import { assert, bytesToHex, logOf, utf8ToBytes } from '@coldproof/wire';
import { opensslSha256 as sha256 } from '../openssl-crypto.ts';
import type { Slot } from '../store-quorum.ts';

export type PeerSettings = {
  /** For people, and the witness's name in its cosignatures. */
  readonly name: string;
  /** Its signer in the OracleSet, 20 bytes. */
  readonly address: Uint8Array;
  readonly logPublicKey: Uint8Array;
  /** Its log's origin line. */
  readonly origin: string;
  /** Of its HTTP API; undefined for a node whose log is not followed. */
  readonly url?: string;
};

export type Peer = PeerSettings & {
  /** logOf(logPublicKey): how it is named in topics, messages and anchors. */
  readonly node: Uint8Array;
  /** `node` in hex. */
  readonly id: string;
};

export class Peers {
  /** By address, ascending, as the contract has them: the same order at every node. */
  readonly all: readonly Peer[];
  readonly self: Peer;

  constructor(settings: readonly PeerSettings[], ownNode: Uint8Array) {
    this.all = settings
      .map((each) => ({ ...each, node: logOf(each.logPublicKey), id: bytesToHex(logOf(each.logPublicKey)) }))
      .sort((a, b) => (bytesToHex(a.address) < bytesToHex(b.address) ? -1 : 1));
    const self = this.all.find(({ id }) => id === bytesToHex(ownNode));
    assert(self !== undefined, 'the configuration was checked to name this node');
    this.self = self;
  }

  get others(): readonly Peer[] {
    return this.all.filter((peer) => peer !== this.self);
  }

  byId(id: string): Peer | undefined {
    return this.all.find((peer) => peer.id === id);
  }

  /** Who leads in this turn. The first leader differs from slot to slot, so that the load and the chances do. */
  leader({ orderId, cryptlet, sequence }: Slot, turn: number): Peer {
    const seed = sha256(utf8ToBytes(`${orderId}/${cryptlet}/${sequence}`));
    const first = (seed[0]! << 16) | (seed[1]! << 8) | seed[2]!;
    return this.all[(first + turn) % this.all.length]!;
  }
}
