/**
 * A node in its consortium: what the stages hand to one another, and when.
 *
 *          own log            open slots                    other nodes, over MQTT
 *             |                   ^                               |         ^
 *             v                   | sequence used                 v         |
 *          reckon --> due --> [slots] --> propose ------------> hear --+--> publish
 *             ^                   |          by turn              |    |
 *             |                   v                               |    +-- collect <--- attestation
 *          monitor           attest <---------- proposal ---------+    |      |
 *             ^                   | staged, then said             |    |      v  2f + 1 agree
 *             |                   +-----------> publish           |    |   [outbox] --> transmit (oracle.ts)
 *       other nodes'              witness <---- checkpoint -------+    |      ^
 *       logs, over HTTP                +------> publish           |    +-- anchor <---- cosignature
 *                                                                 +------> accuse <---- accusation
 *
 * All stages have one form: `receive` takes a message that was verified, and gives what is to be said or the reason why
 * not; `tick` gives what is to be said because time has passed. They are called one after the other by one loop, and
 * what one says is heard by its own node's stages, too. A message that is lost, repeated, late or out of order changes
 * nothing that counts: turns bring everything up again, and what a node has signed is on disk.
 */
import {
  bytesEqual,
  bytesToHex,
  digestReport,
  encodePeerBody,
  encodePeerMessage,
  hexToBytes,
  peerPreimage,
  reject,
  verifyPeerMessage,
  type Accusation,
  type Crypto,
  type PeerContent,
  type PeerReason,
  type QuorumDomain,
  type Verdict,
} from '@coldproof/wire';
import type { AttestationKey } from '../attestation-key.ts';
import type { QuorumChain } from '../chain-report.ts';
import type { Clock } from '../clock.ts';
import type { LogKey } from '../log-key.ts';
import type { Log } from '../log-line.ts';
import type { Log as TransparencyLog } from '../log.ts';
import { OperatingError, describeError } from '../operating-error.ts';
import { opensslEd25519 } from '../openssl-ed25519.ts';
import type { PeerLink, PeerPacket } from '../peer-link.ts';
import type { QuorumRecord } from '../store-outbox.ts';
import type { Store } from '../store.ts';
import type { Incoming } from '../verify-pool.ts';
import { Accuse, type AccuseReason } from './accuse.ts';
import { Anchor, type AnchorReason } from './anchor.ts';
import { Attest, type AttestReason } from './attest.ts';
import { Collect, type CollectReason } from './collect.ts';
import { Monitor } from './monitor.ts';
import type { PeerApi } from './peer-api.ts';
import type { Peer, Peers } from './peers.ts';
import { Propose } from './propose.ts';
import { Reckon, type Reckoner } from './reckon.ts';
import { Slots } from './slots.ts';
import { Standing } from './standing.ts';
import { Witness, type WitnessReason } from './witness.ts';

export type NetworkDeps = {
  /** The voyage's time: deadlines and cosignatures are dated by it. */
  readonly clock: Clock;
  /** Real time: turns are paced by it. */
  readonly pace: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly transparencyLog: TransparencyLog;
  readonly logKey: LogKey;
  readonly key: AttestationKey;
  readonly chain: QuorumChain;
  readonly reckoner: Reckoner;
  readonly crypto: Crypto;
  readonly link: PeerLink;
  readonly api: PeerApi;
  readonly peers: Peers;
  /** Puts a batch of another log before this node's intake. */
  readonly offer: (message: Incoming) => boolean;
  /** The outbox has a new action. */
  readonly onAction: () => void;
};

export type NetworkSettings = {
  readonly f: number;
  /** How long a leader has before the next one takes over. */
  readonly turnMs: number;
  /** How often the chain is asked, and other logs are looked at. */
  readonly pollMs: number;
  readonly anchorMs: number;
  /** Reports are good for this long after the last sample that was read; the same at every node. */
  readonly validSec: number;
};

export type NetworkReason =
  | PeerReason
  | AttestReason
  | CollectReason
  | WitnessReason
  | AnchorReason
  | AccuseReason
  /** Its topic names another node than the one that signed it, or another kind. */
  | 'peer-topic-differs'
  /** Signed under another configuration of the OracleSet than the chain has now. */
  | 'peer-of-another-config'
  /** Its key has signed two statements that exclude each other. It comes back with another key, or not at all. */
  | 'peer-accused'
  /** It is written down here, and no signer of the OracleSet. */
  | 'peer-not-a-signer';

type Heard = Verdict<readonly PeerContent[], NetworkReason>;

/** Refusals of which a line was written; the others are counted. */
const linesMax = 1_000;

export class Network {
  readonly peers: Peers;
  readonly slots = new Slots();
  readonly collect: Collect;
  readonly anchor: Anchor;
  readonly monitors: readonly Monitor[];
  /** When each node was last heard, by its id, of the pace clock. */
  readonly heardMs = new Map<string, number>();
  readonly refused = new Map<NetworkReason, number>();
  readonly standing: Standing;
  readonly #deps: NetworkDeps;
  readonly #settings: NetworkSettings;
  readonly #reckon: Reckon;
  readonly #propose: Propose;
  readonly #attest: Attest;
  readonly #witness: Witness;
  readonly #accuse: Accuse;
  readonly #said = new Set<string>();
  #wake: AbortController | undefined;

  constructor(deps: NetworkDeps, settings: NetworkSettings) {
    this.#deps = deps;
    this.#settings = settings;
    const { peers, store } = deps;
    const { consumer } = deps.chain;
    this.peers = peers;
    this.#reckon = new Reckon({ ...deps, disputes: `0x${bytesToHex(consumer)}` });
    const stage = { ...deps, ...settings, slots: this.slots, consumer };
    this.#propose = new Propose(stage);
    this.#attest = new Attest({
      ...stage,
      orderOf: (orderId) => this.#reckon.watched().find(({ order }) => order.orderId === orderId),
      hasReckoned: (order, cryptlet, sequence) => this.#reckon.hasReckoned(order, cryptlet, sequence),
    });
    this.collect = new Collect(stage);
    this.#witness = new Witness(deps);
    this.anchor = new Anchor({ ...stage, log: deps.transparencyLog });
    const deviceKey = (device: string) => {
      const known = store.chain.device(device)?.publicKey;
      return known === undefined ? undefined : hexToBytes(known);
    };
    this.#accuse = new Accuse({
      store,
      keys: { peers, deviceKey, crypto: deps.crypto },
      pace: deps.pace,
      log: deps.log,
    });
    const accuse = (accusation: Accusation) => this.#say([accusation]);
    this.standing = new Standing({
      ...stage,
      reckon: this.#reckon,
      onConfig: () => {
        this.collect.clear();
        this.anchor.clear();
      },
    });
    this.monitors = peers.others
      .filter(({ url }) => url !== undefined)
      .map((peer) => new Monitor(peer, { ...deps, accuse }));
  }

  /** Something has changed that is worth a look: a batch is logged, a packet has come. */
  wake(): void {
    this.#wake?.abort();
  }

  /** Until the signal; throws what the node cannot go on with. */
  async run(signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const until = AbortSignal.any([signal, failed.signal]);
    const loops = [this.#talk(until), ...this.monitors.map((monitor) => this.#follow(monitor, until))];
    const ends = await Promise.allSettled(
      loops.map(async (loop) => {
        try {
          await loop;
        } finally {
          failed.abort();
        }
      }),
    );
    await this.#deps.link.close();
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  async #talk(signal: AbortSignal): Promise<void> {
    const { link, pace } = this.#deps;
    link.onPacket(() => this.wake());
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      // Made before the round, so that nothing that comes during it is slept over.
      const wake = new AbortController();
      this.#wake = wake;
      for (const packet of link.take()) this.hear(packet);
      await this.tick();
      await pace.wait(Math.max(10, this.#settings.turnMs / 4), wake.signal);
    }
  }

  /** One packet from the broker, whoever put it there. */
  hear({ node, kind, bytes }: PeerPacket): void {
    const message = verifyPeerMessage(bytes, (id) => this.peers.byId(bytesToHex(id))?.logPublicKey, opensslEd25519);
    if (!message.ok) {
      this.#refuse(bytesToHex(node).slice(0, 8), message.reason, message.detail);
      return;
    }
    const from = this.peers.byId(bytesToHex(message.value.node))!;
    const { content, config } = message.value;
    if (!bytesEqual(node, from.node) || kind !== content.kind) {
      this.#refuse(from.name, 'peer-topic-differs', `topic of ${bytesToHex(node)}, ${kind}`);
      return;
    }
    this.heardMs.set(from.id, this.#deps.pace.nowMs());
    const { config: own } = this.standing;
    if (own === undefined) return undefined;
    if (!bytesEqual(config, own.domain.config)) {
      this.#refuse(from.name, 'peer-of-another-config', `config: got ${bytesToHex(config)}`);
      return;
    }
    const contradiction = this.#accuse.compare(from, content, bytes);
    if (contradiction !== undefined) this.#say([contradiction]);
    this.#answer(from, content, own.domain);
  }

  /** One look at everything that time alone can bring up. */
  async tick(): Promise<void> {
    const { pace, clock } = this.#deps;
    await this.standing.read();
    await this.#reckon.run();
    await this.standing.openSlots();
    if (this.standing.config === undefined) return;
    const { domain } = this.standing.config;
    const [nowMs, nowSec] = [pace.nowMs(), Math.floor(clock.nowMs() / 1_000)];
    this.#say(this.#accuse.tick());
    if (!this.isSigner) return;
    this.#say(this.#propose.tick(nowMs, nowSec));
    this.#say(this.#attest.tick(domain, nowSec));
    this.#say(this.anchor.tick(domain, nowMs));
    this.#transmit(domain, nowMs, nowSec);
  }

  /** Whether the contract counts what this node signs. */
  get isSigner(): boolean {
    return this.standing.isSigner(this.peers.self);
  }

  #answer(from: Peer, content: PeerContent, domain: QuorumDomain): void {
    const heard = this.#receive(from, content, domain);
    if (!heard.ok) {
      this.#refuse(from.name, heard.reason, heard.detail);
      return;
    }
    this.#say(heard.value);
  }

  #receive(from: Peer, content: PeerContent, domain: QuorumDomain): Heard {
    const { pace, clock } = this.#deps;
    const nowSec = Math.floor(clock.nowMs() / 1_000);
    if (content.kind === 'accusation') {
      const judged = this.#accuse.receive(content);
      // What this node says itself, all have heard.
      return judged.ok && from === this.peers.self ? { ok: true, value: [] } : judged;
    }
    if (this.#accuse.isAccused(from)) return reject('peer-accused', `${from.name}, ${content.kind}`);
    if (!this.standing.isSigner(from) || !this.isSigner)
      return reject('peer-not-a-signer', `${from.name}, ${content.kind}`);
    switch (content.kind) {
      case 'proposal':
        return this.#attest.receive(from, content, domain, nowSec);
      case 'attestation': {
        const taken = this.collect.receive(from, content, domain, { nowMs: pace.nowMs(), nowSec });
        return taken.ok ? { ok: true, value: [] } : taken;
      }
      case 'checkpoint': {
        const answer = this.#witness.receive(from, content, domain, nowSec);
        if (answer.ok || answer.reason !== 'checkpoint-forked') return answer;
        this.#say(this.#accuse.ofForkedLog(from, content.note));
        return answer;
      }
      case 'cosignature': {
        const forked = this.#accuse.compareCosigned(content);
        if (forked !== undefined) this.#say([forked]);
        if (!bytesEqual(content.log, this.peers.self.node)) return { ok: true, value: [] };
        return this.anchor.receive(from, content, domain);
      }
      case 'request':
        return reject('peer-topic-differs', 'a request travels over HTTP');
    }
  }

  /** To all, and to this node's own stages. */
  #say(contents: readonly PeerContent[]): void {
    const { peers } = this;
    const { config } = this.standing;
    if (config === undefined) return;
    for (const content of contents) {
      if (content.kind === 'request') continue;
      this.#deps.link.publish(content.kind, this.sign(content, config.domain));
      // A node neither witnesses its own log nor answers to its own answers.
      const isForSelf = content.kind === 'proposal' || content.kind === 'attestation' || content.kind === 'accusation';
      if (isForSelf) this.#answer(peers.self, content, config.domain);
    }
  }

  /** The message as it goes out. */
  sign(content: PeerContent, { config }: QuorumDomain): Uint8Array {
    const body = encodePeerBody({ config, node: this.peers.self.node, content });
    return encodePeerMessage(body, this.#deps.logKey.sign(peerPreimage(body)));
  }

  /** The actions that are this node's to take. The outbox knows what it has. */
  #transmit(domain: QuorumDomain, nowMs: number, nowSec: number): void {
    const { store, chain, onAction, transparencyLog, pace, log } = this.#deps;
    const { node, id } = this.peers.self;
    const actions: { id: string; about: string; record: QuorumRecord }[] = [];
    for (const { slot, report, signatures } of this.collect.tick(nowMs, nowSec)) {
      const digest = bytesToHex(digestReport(domain, report));
      const { orderId, cryptlet, sequence } = slot;
      const calldata = chain.encodeReport(report, signatures);
      const record = { contract: 'Disputes', calldata, digest, orderId, cryptlet, sequence } as const;
      actions.push({ id: `report:${digest}`, about: `report:${orderId}`, record });
    }
    const before = this.standing.anchored?.size;
    const head = before === undefined ? undefined : this.anchor.complete(before);
    if (before !== undefined && head !== undefined) {
      const path = before === 0 ? [] : transparencyLog.consistencyProof(before, head.size);
      const calldata = chain.encodeAnchor({ log: node, ...head }, head.signatures, path);
      const record = { contract: 'AnchorLog', calldata, log: id, size: head.size } as const;
      actions.push({ id: `anchor:${id}:${head.size}:${before}`, about: 'anchor', record });
    }
    const createdMs = pace.nowMs();
    for (const { id, about, record } of actions) {
      const action = { id, orderId: about, evidence: JSON.stringify(record), dueMs: 0, createdMs };
      if (!store.transaction(() => store.outbox.insert(action))) continue;
      log('info', 'action-attested', { action: id });
      onAction();
    }
  }

  async #follow(monitor: Monitor, signal: AbortSignal): Promise<void> {
    const { pace, log } = this.#deps;
    while (!signal.aborted) {
      let hasMore = false;
      try {
        hasMore = await monitor.round();
      } catch (error) {
        if (!(error instanceof OperatingError) || error.retry !== 'later') throw error;
        log('debug', 'peer-unreachable', { error: describeError(error) });
        monitor.become('unreachable');
      }
      if (!hasMore) await pace.wait(this.#settings.pollMs, signal);
    }
  }

  #refuse(from: string, reason: NetworkReason, detail: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
    const line = `${from} ${reason} ${detail}`;
    if (this.#said.has(line)) return;
    if (this.#said.size >= linesMax) this.#said.clear();
    this.#said.add(line);
    this.#deps.log('warn', 'peer-refused', { from, reason, detail });
  }
}
