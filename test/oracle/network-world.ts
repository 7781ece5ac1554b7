/**
 * A consortium in one process: the network's own code with stores, logs and keys of its own for each node; a virtual
 * clock; a bus that loses, repeats and reorders; and a chain that counts signatures as contracts/Quorum.sol does.
 */
import { terms as agreedTerms } from './api-fixture.ts';
import { createPrivateKey, sign as signWith } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import type { Log as LogLine } from '@coldproof/oracle/log-line';
import { Log } from '@coldproof/oracle/log';
import type { LogKey } from '@coldproof/oracle/log-key';
import { Network } from '@coldproof/oracle/network/network';
import type { PeerApi } from '@coldproof/oracle/network/peer-api';
import { Peers, type Peer, type PeerSettings } from '@coldproof/oracle/network/peers';
import type { Reckoner } from '@coldproof/oracle/network/reckon';
import { OperatingError } from '@coldproof/oracle/operating-error';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import type { PeerLink, PeerPacket } from '@coldproof/oracle/peer-link';
import type { Order } from '@coldproof/oracle/store-chain';
import type { QuorumRecord } from '@coldproof/oracle/store-outbox';
import { Store } from '@coldproof/oracle/store';
import { verifyBatch } from '@coldproof/oracle/verify';
import type { QuorumChain } from '@coldproof/oracle/chain-report';
import {
  accept,
  addressOfKey,
  bytesEqual,
  bytesToHex,
  digestAnchor,
  digestReport,
  encodeEnvelope,
  logOf,
  recoverSigner,
  signDigest,
  verifyConsistency,
  type Envelope,
  type PeerKind,
  type Report,
} from '@coldproof/wire';
import type { Random } from '../helpers/seed.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { quarter } from './oracle-fixture.ts';

/** PrivateKeyInfo of an Ed25519 key (RFC 8410 §7) up to the key. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

export const f = 1;
const nodeCount = 3 * f + 1;
export const cryptlet = 'c1'.repeat(32);
const consumer = new Uint8Array(20).fill(0xd1);
export const startSec = 1_767_225_600;
export const turnMs = 1_000;
const tickMs = 250;
const silent: LogLine = () => undefined;

/** Reports how many batches were over 8 °C so far, when there is one. */
export const countWarm: Reckoner = {
  cryptlets: new Set([cryptlet]),
  run(_cryptlet, _order, batches) {
    const warm = batches.filter(({ series }) => series[1]!.samples.some(({ value }) => value > 800)).length;
    return Promise.resolve(accept(warm === 0 ? undefined : Uint8Array.of(warm)));
  },
};

/** What a node says that is no good. Everything else of it is as it should be. */
export type Fault = {
  readonly reckoner?: Reckoner;
  /** Takes the place of what is published. */
  readonly publish?: (node: TestNode, kind: PeerKind, bytes: Uint8Array) => readonly Uint8Array[];
};

/** The contracts, as far as nodes see them. Everything that was accepted is kept. */
export class TestChain {
  readonly accepted: { readonly report: Report; readonly at: number }[] = [];
  readonly anchors: { readonly log: string; readonly size: number; readonly root: Uint8Array }[] = [];
  readonly refused: string[] = [];
  readonly signers: readonly Uint8Array[];
  count = 1;

  constructor(signers: readonly Uint8Array[]) {
    this.signers = signers;
  }

  get domain() {
    const config = new Uint8Array(32).fill(this.count);
    return { chainId: 1, oracleSet: new Uint8Array(20).fill(0x05), config };
  }

  used(orderId: string): number {
    return this.accepted.findLast(({ report }) => report.subject === BigInt(orderId))?.report.sequence ?? 0;
  }

  transmit(report: Report, signatures: readonly Uint8Array[], nowSec: number): boolean {
    if (report.sequence <= this.used(String(report.subject))) return this.#refuse('SequenceNotForward');
    if (report.deadlineSec < nowSec) return this.#refuse('ReportExpired');
    if (!this.#verify(digestReport(this.domain, report), signatures)) return this.#refuse('signatures');
    this.accepted.push({ report, at: nowSec });
    return true;
  }

  anchor(
    head: { readonly log: Uint8Array; readonly size: number; readonly root: Uint8Array },
    signatures: readonly Uint8Array[],
    path: readonly Uint8Array[],
  ): boolean {
    const log = bytesToHex(head.log);
    const before = this.anchors.findLast((each) => each.log === log);
    if (before !== undefined && head.size <= before.size) return this.#refuse('HeadNotLarger');
    if (!this.#verify(digestAnchor(this.domain, head), signatures)) return this.#refuse('signatures');
    const isGrown =
      before === undefined
        ? path.length === 0
        : verifyConsistency(before.size, head.size, before.root, head.root, path);
    if (!isGrown) return this.#refuse('HeadInconsistent');
    this.anchors.push({ log, size: head.size, root: head.root });
    return true;
  }

  /** Exactly f + 1, each of a signer, ascending. */
  #verify(digest: Uint8Array, signatures: readonly Uint8Array[]): boolean {
    const places = signatures.map((signature) => {
      const signer = recoverSigner(digest, signature);
      return this.signers.findIndex((each) => signer !== undefined && bytesEqual(each, signer));
    });
    return places.length === f + 1 && places.every((place, i) => place >= 0 && place > (places[i - 1] ?? -1));
  }

  #refuse(reason: string): false {
    this.refused.push(reason);
    return false;
  }
}

export class TestNode {
  readonly peer: Peer;
  readonly store: Store;
  readonly log: Log;
  readonly network: Network;
  isDown = false;
  readonly inbox: PeerPacket[] = [];
  readonly #world: World;

  constructor(world: World, index: number, fault: Fault, storePath = ':memory:') {
    this.#world = world;
    const { logKey, attestationSecret } = world.keys[index]!;
    const peers = new Peers(world.settings, logKey.log);
    this.peer = peers.self;
    this.store = new Store(storePath);
    this.log = new Log({ store: this.store, key: logKey, origin: this.peer.origin });
    const { address } = this.peer;
    const publish = (kind: PeerKind, bytes: Uint8Array) => {
      for (const each of fault.publish?.(this, kind, bytes) ?? [bytes]) world.broadcast(this, kind, each);
    };
    const link: PeerLink = {
      publish,
      take: () => this.inbox.splice(0),
      onPacket: () => undefined,
      isConnected: true,
      refused: new Map(),
      close: () => Promise.resolve(),
    };
    const deps = {
      clock: world.clock,
      pace: world.clock,
      log: silent,
      store: this.store,
      transparencyLog: this.log,
      logKey,
      key: { address, sign: (digest: Uint8Array) => signDigest(digest, attestationSecret) },
      chain: world.chainFor(),
      reckoner: fault.reckoner ?? countWarm,
      crypto: opensslCrypto(),
      link,
      api: world.api,
      peers,
      offer: ({ bytes }: { bytes: Uint8Array }) => {
        this.take(bytes);
        return true;
      },
      onAction: () => undefined,
    };
    this.network = new Network(deps, { f, turnMs, pollMs: 500, anchorMs: 5_000, validSec: 3_600 });
  }

  /** What the intake does with an envelope. */
  take(bytes: Uint8Array): void {
    const { device } = this.#world;
    const record = { publicKey: device.publicKey };
    const nowSec = Math.floor(this.#world.nowMs / 1_000) + 10 * 86_400;
    const verified = verifyBatch({ device: device.device, bytes, record, nowSec }, opensslCrypto());
    if (verified.ok) this.log.append([{ ...verified.value, device: device.device, envelope: bytes }], 0);
  }

  async tick(): Promise<void> {
    if (this.isDown) return;
    for (const packet of this.inbox.splice(0)) this.network.hear(packet);
    await this.network.tick();
  }
}

export type Bus = { readonly loss: number; readonly repeat: number; readonly delayTicksMax: number };

export class World {
  nowMs = startSec * 1_000;
  readonly clock = { nowMs: () => this.nowMs, wait: () => Promise.resolve() };
  readonly chain: TestChain;
  readonly keys: readonly { readonly logKey: LogKey; readonly attestationSecret: Uint8Array }[];
  readonly settings: readonly PeerSettings[];
  readonly device = new VoyageDevice(3);
  readonly nodes: TestNode[] = [];
  readonly api: PeerApi;
  /** Everything that was ever said, with who said it. */
  readonly said: { readonly from: TestNode; readonly kind: PeerKind; readonly bytes: Uint8Array }[] = [];
  readonly #random: Random;
  readonly #bus: Bus;
  #waiting: { readonly to: TestNode; readonly packet: PeerPacket; readonly atMs: number }[] = [];

  constructor(random: Random, bus: Bus, faults: readonly Fault[] = []) {
    this.#random = random;
    this.#bus = bus;
    this.keys = Array.from({ length: nodeCount }, () => {
      const secret = random.bytes(32);
      const publicKey = ed25519.getPublicKey(secret);
      const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, secret]), format: 'der', type: 'pkcs8' });
      const sign = (message: Uint8Array) => Uint8Array.from(signWith(null, message, key));
      const signAside = (messages: readonly Uint8Array[]) => Promise.resolve(messages.map(sign));
      const logKey = { publicKey, log: logOf(publicKey), sign, signAside, close: () => Promise.resolve() };
      return { logKey, attestationSecret: random.bytes(32) };
    });
    this.settings = this.keys.map(({ logKey, attestationSecret }, i) => ({
      name: `node-${i}`,
      address: addressOfKey(attestationSecret),
      logPublicKey: logKey.publicKey,
      origin: `node-${i}.example/log`,
      url: 'http://unused.example',
    }));
    const signers = this.settings.map(({ address }) => address);
    this.chain = new TestChain(signers.sort((a, b) => (bytesToHex(a) < bytesToHex(b) ? -1 : 1)));
    this.api = this.#directApi();
    for (let i = 0; i < nodeCount; i++) this.nodes.push(new TestNode(this, i, faults[i] ?? {}));
    for (const node of this.nodes) this.#prepare(node);
  }

  /** One order, in transit with the device. */
  #prepare({ store }: TestNode): void {
    const publicKey = bytesToHex(this.device.publicKey);
    const device = bytesToHex(this.device.device);
    store.transaction(() => {
      store.chain.setDevice(
        {
          device,
          publicKey,
          owner: '0x',
          asset: 'CSQU3054383',
          validFromSec: 1,
          calibrationDigest: '',
          calibrationUntilSec: 0,
        },
        1,
      );
      store.chain.setOrder(orderOf('7', device), 1);
    });
  }

  /** The next quarter of an hour of the device: to all that are up, or to some. */
  seal(cargoCentiC: number, to: readonly TestNode[] = this.nodes): Envelope {
    const sequence = this.#sealed++;
    const envelope = this.device.seal(quarter(startSec + 60 + sequence * 900, cargoCentiC));
    for (const node of to) if (!node.isDown) node.take(encodeEnvelope(envelope));
    return envelope;
  }

  #sealed = 0;

  broadcast(from: TestNode, kind: PeerKind, bytes: Uint8Array): void {
    this.said.push({ from, kind, bytes });
    for (const to of this.nodes) {
      if (to === from) continue;
      const copies = this.#random.next() < this.#bus.loss ? 0 : this.#random.next() < this.#bus.repeat ? 3 : 1;
      for (let copy = 0; copy < copies; copy++) {
        const atMs = this.nowMs + this.#random.integer(0, this.#bus.delayTicksMax) * tickMs;
        this.#waiting.push({ to, packet: { node: from.peer.node, kind, bytes }, atMs });
      }
    }
  }

  /** A quarter of a second of everybody's life. */
  async tick(): Promise<void> {
    const due = this.#waiting.filter(({ atMs }) => atMs <= this.nowMs);
    this.#waiting = this.#waiting.filter(({ atMs }) => atMs > this.nowMs);
    while (due.length > 0) {
      const [{ to, packet }] = due.splice(this.#random.integer(0, due.length - 1), 1) as [(typeof due)[number]];
      if (!to.isDown) to.inbox.push(packet);
    }
    for (const node of this.nodes) await node.tick();
    this.#submit();
    this.nowMs += tickMs;
  }

  async ticks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.tick();
  }

  /** Runs until it is so, at most this many seconds; says whether it came to be. */
  async until(isSo: () => boolean, secMax: number): Promise<boolean> {
    for (let i = 0; i < (secMax * 1_000) / tickMs && !isSo(); i++) await this.tick();
    return isSo();
  }

  /** Every node looks once at every other node's log. */
  async follow(): Promise<void> {
    for (const { network, isDown } of this.nodes) {
      if (isDown) continue;
      for (const monitor of network.monitors) {
        const peer = this.nodes.find((node) => node.peer.id === monitor.peer.id)!;
        if (!peer.isDown) await monitor.round();
      }
    }
  }

  /** The outbox, without fees: each action is tried once. */
  #submit(): void {
    for (const { store, isDown } of this.nodes) {
      if (isDown) continue;
      for (const action of store.outbox.open().filter(({ state }) => state === 'unstarted')) {
        const { calldata } = JSON.parse(action.evidence) as QuorumRecord;
        const isDone = this.#calls.get(calldata)!();
        store.outbox.setState(action.id, isDone ? 'finalized' : 'fatal');
      }
    }
  }

  readonly #calls = new Map<string, () => boolean>();

  chainFor(): QuorumChain {
    const { chain } = this;
    const call = (run: () => boolean): string => {
      const name = `0x${this.#calls.size.toString(16)}`;
      this.#calls.set(name, run);
      return name;
    };
    return {
      consumer,
      config: () => Promise.resolve({ domain: chain.domain, count: chain.count, f, signers: chain.signers }),
      sequenceOf: ({ orderId }) => Promise.resolve(chain.used(orderId)),
      anchored: (log) => {
        const last = chain.anchors.findLast((each) => each.log === bytesToHex(log));
        return Promise.resolve({ size: last?.size ?? 0, anchoredAtSec: 0, root: last?.root ?? new Uint8Array(32) });
      },
      encodeReport: (report, signatures) =>
        call(() => chain.transmit(report, signatures, Math.floor(this.nowMs / 1_000))),
      encodeAnchor: (head, signatures, path) => call(() => chain.anchor(head, signatures, path)),
    };
  }

  #directApi(): PeerApi {
    const nodeOf = (peer: Peer): TestNode => {
      const node = this.nodes.find((each) => each.peer.id === peer.id)!;
      if (!node.isDown) return node;
      throw new OperatingError('peer-unreachable', `${peer.name} is down`, { retry: 'later' });
    };
    return {
      checkpoint: (peer) => Promise.resolve(nodeOf(peer).log.checkpoint()),
      consistency: (peer, first, second) => Promise.resolve(nodeOf(peer).log.consistencyProof(first, second)),
      leaves: (peer, first, count) => Promise.resolve(nodeOf(peer).store.log.leaves(first, count)),
      envelope: (peer, index) => Promise.resolve(nodeOf(peer).store.log.envelope(index)!),
    };
  }
}

export function orderOf(orderId: string, device: string): Order {
  const none = `0x${'00'.repeat(32)}`;
  return {
    orderId,
    state: 'InTransit',
    cause: 'None',
    agreementId: '1',
    buyer: '0x',
    supplier: '0x',
    device,
    truck: '0x',
    dispatchedAtSec: startSec,
    judgedFromSec: startSec,
    deliveredAtSec: 0,
    replacementId: '0',
    replacementOf: '0',
    ticketId: '0',
    evidenceDigest: none,
    price: '1',
    limits: [],
    disputes: `0x${bytesToHex(consumer)}`,
    cryptlets: [cryptlet],
    terms: agreedTerms,
  };
}
