/**
 * The consortium's promises (oracle/NETWORK.md) under seeded loss, repetition and reordering, with up to f nodes that
 * are down, lie or say two things. What is accepted is true; what is true is accepted.
 */
import t, { type Test } from 'tap';
import {
  accept,
  bytesToHex,
  decodeEnvelope,
  encodeEnvelope,
  encodePeerBody,
  encodePeerMessage,
  peerPreimage,
  verifyPeerMessage,
  type PeerContent,
} from '@coldproof/wire';
import { opensslEd25519 } from '@coldproof/oracle/openssl-ed25519';
import { Random, seeded } from '../helpers/seed.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { countWarm, cryptlet, orderOf, startSec, World, type Fault, type TestNode } from './network-world.ts';
import { quarter } from './oracle-fixture.ts';

const calm = { loss: 0, repeat: 0, delayTicksMax: 0 };
const storm = { loss: 0.25, repeat: 0.3, delayTicksMax: 12 };

/** Says that every voyage was warm, however it was. */
const liar: Fault = { reckoner: { ...countWarm, run: () => Promise.resolve(accept(Uint8Array.of(99))) } };

/** To each proposal and each vote, says another one as well. */
const equivocator: Fault = {
  publish(node, kind, bytes) {
    const message = verifyPeerMessage(bytes, () => node.peer.logPublicKey, opensslEd25519);
    if (!message.ok || (kind !== 'proposal' && kind !== 'attestation')) return [bytes];
    return [bytes, again(node, message.value.config, other(message.value.content))];
  },
};

function other(content: PeerContent): PeerContent {
  if (content.kind === 'proposal') return { ...content, report: { ...content.report, payload: Uint8Array.of(77) } };
  if (content.kind === 'attestation') return { ...content, digest: new Uint8Array(32).fill(7) };
  return content;
}

function again({ network }: TestNode, config: Uint8Array, content: PeerContent): Uint8Array {
  return network.sign(content, { ...network.standing.config!.domain, config });
}

/** No honest node has ever signed two results for one report, and the chain has accepted true ones only. */
function checkSafety(t: Test, world: World, honest: readonly TestNode[], truth: readonly number[]): void {
  const votes = new Map<string, string>();
  for (const { from, kind, bytes } of world.said) {
    if (kind !== 'attestation' || !honest.includes(from)) continue;
    const message = verifyPeerMessage(bytes, () => from.peer.logPublicKey, opensslEd25519);
    if (!message.ok || message.value.content.kind !== 'attestation') throw new Error('a node says what it must not');
    const { subject, sequence, deadlineSec, digest } = message.value.content;
    const place = `${from.peer.name} ${subject}/${sequence} ${deadlineSec}`;
    if (votes.has(place) && votes.get(place) !== bytesToHex(digest)) t.fail(`two votes: ${place}`);
    votes.set(place, bytesToHex(digest));
  }
  const accepted = world.chain.accepted.map(({ report }) => report.payload[0]);
  t.same(accepted, truth.slice(0, accepted.length), 'what was accepted is true, and in its order');
}

t.test('each report is accepted once, whoever leads', async (t) => {
  const world = new World(seeded(t, 1), calm);
  world.seal(500);
  await world.ticks(8);
  t.equal(world.chain.accepted.length, 0, 'nothing to report');
  for (let warm = 1; warm <= 5; warm++) {
    world.seal(900);
    t.ok(await world.until(() => world.chain.used('7') === warm, 4), `report ${warm}`);
  }
  checkSafety(t, world, world.nodes, [1, 2, 3, 4, 5]);
  const transmitters = world.nodes.filter(
    ({ store }) => store.outbox.open().length + store.outbox.ofOrder('report:7').length,
  );
  t.ok(transmitters.length > 1, 'they take turns');
});

t.test('loss, repetition and reordering delay, and do no more', async (t) => {
  const random = seeded(t, 2);
  for (let round = 0; round < 1; round++) {
    const world = new World(new Random(random.integer(1, 2 ** 31)), storm);
    for (let warm = 1; warm <= 3; warm++) {
      world.seal(900);
      t.ok(await world.until(() => world.chain.used('7') === warm, 60), `report ${warm} of round ${round}`);
    }
    checkSafety(t, world, world.nodes, [1, 2, 3]);
  }
});

t.test('one node is down, lies or says two things: the others go on, and are not deceived', async (t) => {
  const random = seeded(t, 3);
  const faults: Record<string, Fault | undefined> = { down: undefined, liar, equivocator };
  for (const [name, fault] of Object.entries(faults)) {
    for (const bad of [random.integer(0, 3)]) {
      const world = new World(new Random(random.integer(1, 2 ** 31)), calm, {
        [bad]: fault ?? {},
      } as unknown as Fault[]);
      world.nodes[bad]!.isDown = fault === undefined;
      const honest = world.nodes.filter((_, i) => i !== bad);
      world.seal(500);
      await world.ticks(40);
      t.equal(world.chain.accepted.length, 0, `${name} ${bad}: nothing false`);
      for (let warm = 1; warm <= 2; warm++) {
        world.seal(900);
        t.ok(await world.until(() => world.chain.used('7') === warm, 12), `${name} ${bad}: report ${warm}`);
      }
      checkSafety(t, world, honest, [1, 2]);
      if (name === 'equivocator') {
        await world.ticks(40);
        const accused = honest.map(({ store }) => store.quorum.isAccused('node', world.nodes[bad]!.peer.id));
        t.same(accused, [true, true, true], `${name} ${bad}: all honest nodes have the proof`);
      }
    }
  }
});

t.test('with more than f nodes away nothing is attested, until one is back', async (t) => {
  const world = new World(seeded(t, 4), calm);
  world.nodes[0]!.isDown = true;
  world.nodes[1]!.isDown = true;
  world.seal(900);
  await world.ticks(200);
  t.equal(world.chain.accepted.length, 0, 'two of four do not speak for all');
  world.nodes[0]!.isDown = false;
  t.notOk(await world.until(() => world.chain.used('7') === 1, 10), 'it is back, without the batch');
  await world.follow();
  t.ok(await world.until(() => world.chain.used('7') === 1, 12), 'it has caught up from the others, and signs');
  t.equal(world.nodes[0]!.log.size, 1);
});

t.test('a device that signs two batches for one sequence is found out by all', async (t) => {
  const world = new World(seeded(t, 5), calm);
  const [a, b, c, d] = world.nodes as [TestNode, TestNode, TestNode, TestNode];
  const twin = new VoyageDevice(3);
  world.seal(900, [a, b]);
  const cold = encodeEnvelope(twin.seal(quarter(startSec + 60, 500)));
  c.take(cold);
  d.take(cold);
  await world.ticks(60);
  t.equal(world.chain.accepted.length, 0, 'two and two agree on nothing');
  await world.follow();
  await world.ticks(8);
  const device = bytesToHex(world.device.device);
  for (const { store, peer } of world.nodes) {
    t.ok(store.quorum.isAccused('device', device), `${peer.name} has the proof`);
    const [proof] = store.quorum.accusations();
    for (const bytes of [proof!.first, proof!.second]) {
      const envelope = decodeEnvelope(Uint8Array.from(bytes));
      t.ok(envelope.ok && envelope.value.series.length === 0, 'the proof shows no reading');
    }
  }
});

t.test('heads are anchored when a quorum has seen them grow', async (t) => {
  const world = new World(seeded(t, 6), storm);
  for (let i = 0; i < 3; i++) {
    world.seal(500);
    await world.ticks(50);
  }
  for (const { peer, log } of world.nodes) {
    const anchors = world.chain.anchors.filter((each) => each.log === peer.id);
    t.ok(anchors.length >= 2, `${peer.name}: ${anchors.length} anchors`);
    t.equal(anchors.at(-1)!.size, log.size);
  }
  t.notOk(world.chain.refused.includes('HeadInconsistent'));
});

t.test('a log with two heads is accused, and cosigned no more', async (t) => {
  const fork = new Map<string, PeerContent>();
  const forger: Fault = {
    publish(node, kind, bytes) {
      const note = fork.get(node.peer.id);
      if (kind !== 'checkpoint' || note === undefined) return [bytes];
      return [bytes, again(node, node.network.standing.config!.domain.config, note)];
    },
  };
  const world = new World(seeded(t, 7), calm, [forger]);
  const [bad, ...honest] = world.nodes as [TestNode, ...TestNode[]];
  world.seal(500);
  await world.ticks(40);
  const other = new World(new Random(7), calm).nodes[0]!;
  other.take(encodeEnvelope(new VoyageDevice(3).seal(quarter(startSec + 60, 700))));
  t.equal(other.peer.id, bad.peer.id, 'the same key in another world');
  fork.set(bad.peer.id, { kind: 'checkpoint', note: other.log.checkpoint(), oldSize: 1, proof: [] });
  await world.ticks(40);
  for (const { store, peer } of honest) t.ok(store.quorum.isAccused('log', bad.peer.id), `${peer.name} has both heads`);
  world.seal(500);
  await world.ticks(60);
  t.notOk(
    world.chain.anchors.some(({ log, size }) => log === bad.peer.id && size > 1),
    'it is anchored no more',
  );
});

t.test('messages of strangers, of another configuration and in another name change nothing', async (t) => {
  const random = seeded(t, 8);
  const world = new World(random, calm);
  const [a, b] = world.nodes as [TestNode, TestNode];
  world.seal(900);
  await world.until(() => world.chain.used('7') === 1, 4);
  const before = a.network.refused;
  const real = world.said.filter(({ from }) => from === b);
  for (const { kind, bytes } of real) {
    a.network.hear({ node: a.peer.node, kind, bytes });
    const bent = Uint8Array.from(bytes);
    bent[random.integer(0, bent.length - 1)]! ^= 1 << random.integer(0, 7);
    a.network.hear({ node: b.peer.node, kind, bytes: bent });
    a.network.hear({ node: b.peer.node, kind, bytes: bytes.slice(0, random.integer(0, bytes.length - 1)) });
  }
  const stranger = { kind: 'cosignature', log: b.peer.node, size: 0 } as const;
  const body = encodePeerBody({ config: new Uint8Array(32), node: b.peer.node, content: stranger });
  const signed = encodePeerMessage(body, world.keys[1]!.logKey.sign(peerPreimage(body)));
  a.network.hear({ node: b.peer.node, kind: 'cosignature', bytes: signed });
  for (const reason of ['peer-topic-differs', 'peer-message-malformed', 'peer-of-another-config'] as const) {
    t.ok((before.get(reason) ?? 0) > 0, reason);
  }
  await world.ticks(20);
  t.equal(world.chain.accepted.length, 1);
});

t.test('a new configuration of the OracleSet: what is due is signed anew under it', async (t) => {
  const world = new World(seeded(t, 9), calm);
  // Nobody transmits: signatures are collected, and lose their worth.
  world.chain.count = 1;
  const away = world.nodes.slice(0, 2);
  for (const node of away) node.isDown = true;
  world.seal(900);
  await world.ticks(40);
  for (const node of away) node.isDown = false;
  world.chain.count = 2;
  await world.follow();
  t.ok(await world.until(() => world.chain.used('7') === 1, 12), 'accepted under the second one');
});

t.test('an order that names no cryptlet of this node is none of its business', async (t) => {
  const world = new World(seeded(t, 10), calm);
  const device = bytesToHex(world.device.device);
  for (const { store } of world.nodes) {
    store.transaction(() => store.chain.setOrder({ ...orderOf('7', device), cryptlets: ['ee'.repeat(32)] }, 2));
  }
  world.seal(900);
  await world.ticks(20);
  t.equal(world.chain.accepted.length, 0);
  t.not(cryptlet, 'ee'.repeat(32));
});
