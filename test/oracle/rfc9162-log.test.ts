/** RFC 9162 §2.1, from the store: what the log proves, wire's verifiers accept, at every size and pair of sizes. */
import {
  leafHash,
  merkleRoot,
  noPrevious,
  verifyCheckpoint,
  verifyConsistency,
  verifyInclusion,
  verifyReceipt,
} from '@coldproof/wire';
import { Log, type Loggable } from '@coldproof/oracle/log';
import { Store } from '@coldproof/oracle/store';
import { Random, seeded } from '../helpers/seed.ts';
import { logKeyIn, makeFolder } from './oracle-fixture.ts';
import { testOnEachEngine } from './stores.ts';

const origin = 'coldproof.example/test';
/** Each statement to a server is a round trip: fewer of them there. */
const sizesMax = { SQLite: 130, PostgreSQL: 20 } as const;

/** Batches of several devices, chained as the log wants them, with digests of random bytes. */
class Feed {
  readonly #random: Random;
  readonly #heads = new Map<number, { sequence: number; previous: Uint8Array }>();

  constructor(random: Random) {
    this.#random = random;
  }

  next(number = this.#random.integer(0, 3)): Loggable {
    const { sequence, previous } = this.#heads.get(number) ?? { sequence: 0, previous: noPrevious };
    const digest = this.#random.bytes(32);
    this.#heads.set(number, { sequence: sequence + 1, previous: digest });
    const device = new Uint8Array(32).fill(number + 1);
    return { device, sequence, previous, digest, firstSec: 1, lastSec: 2, envelope: this.#random.bytes(8) };
  }
}

testOnEachEngine('proofs of every size, in groups of random size, across restarts', (t, place, engine) => {
  const sizeMax = sizesMax[engine];
  const random = seeded(t, 9162);
  const folder = makeFolder(t);
  const feed = new Feed(random);
  const key = logKeyIn(folder);
  let store = new Store(place);
  let log = new Log({ store, key, origin });
  const leaves: Uint8Array[] = [];
  const roots = [log.root()];
  while (leaves.length < sizeMax) {
    const group = Array.from({ length: Math.min(random.integer(1, 9), sizeMax - leaves.length) }, () => feed.next());
    const answers = log.append(group, 0);
    group.forEach(({ digest }, i) => {
      const answer = answers[i]!;
      t.ok(answer.ok && answer.value.index === leaves.length && !answer.value.isRepeat, 'stands where it was appended');
      leaves.push(leafHash(digest));
      roots.push(log.root(leaves.length));
    });
    if (random.integer(0, 3) > 0) continue;
    store.close();
    store = new Store(place);
    log = new Log({ store, key, origin });
  }
  let wrong = 0;
  for (let size = 1; size <= sizeMax; size++) {
    const root = roots[size]!;
    if (Buffer.compare(root, merkleRoot(leaves.slice(0, size))) !== 0) wrong += 1;
    for (let index = 0; index < size; index++) {
      if (!verifyInclusion(leaves[index]!, index, size, log.inclusionProof(index, size), root)) wrong += 1;
    }
    for (let first = 1; first <= size; first++) {
      if (!verifyConsistency(first, size, roots[first]!, root, log.consistencyProof(first, size))) wrong += 1;
    }
  }
  t.equal(wrong, 0, `${sizeMax * (sizeMax + 1)} proofs`);
  const checkpoint = verifyCheckpoint(log.checkpoint(), origin, key.publicKey);
  t.ok(checkpoint.ok && checkpoint.value.size === sizeMax);
  t.ok(checkpoint.ok && Buffer.compare(checkpoint.value.root, roots[sizeMax]!) === 0);
  store.close();
});

testOnEachEngine('an empty log has the root of RFC 9162 and a checkpoint', (t, place) => {
  const store = new Store(place);
  const key = logKeyIn(makeFolder(t));
  const log = new Log({ store, key, origin });
  const checkpoint = verifyCheckpoint(log.checkpoint(), origin, key.publicKey);
  t.ok(checkpoint.ok && checkpoint.value.size === 0);
  t.equal(Buffer.from(log.root()).toString('hex'), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  store.close();
});

testOnEachEngine('a device has one history', async (t, place) => {
  const store = new Store(place);
  const key = logKeyIn(makeFolder(t));
  const log = new Log({ store, key, origin });
  const feed = new Feed(seeded(t, 5));
  const [zero, one, two, three] = [0, 1, 2, 3].map(() => feed.next(0)) as [Loggable, Loggable, Loggable, Loggable];
  const reasons = (group: Loggable[]) =>
    log
      .append(group, 7)
      .map((answer) => (answer.ok ? `${answer.value.index}${answer.value.isRepeat ? ' again' : ''}` : answer.reason));
  t.same(reasons([one, zero, one, one]), ['sequence-not-next', '0', '1', '1 again'], 'order within a group counts');
  t.same(reasons([{ ...two, previous: zero.digest }]), ['previous-mismatch']);
  t.same(reasons([{ ...one, digest: two.digest }]), ['equivocation']);
  t.same(reasons([{ ...one, digest: three.digest }]), ['equivocation']);
  t.same(
    store.log.equivocations().map(({ sequence }) => sequence),
    [1],
    'the first proof of it is kept',
  );
  t.same(reasons([two, zero, three]), ['2', '0 again', '3'], 'and the honest history goes on');
  const other = feed.next(1);
  t.same(reasons([other, { ...other, digest: zero.digest }]), ['4', 'equivocation'], 'also within one group');
  t.same(
    Object.fromEntries(store.log.counts()),
    {
      verified: 5,
      repeated: 2,
      'rejected:sequence-not-next': 1,
      'rejected:previous-mismatch': 1,
      'rejected:equivocation': 3,
    },
    'all of it is counted',
  );
  const [bytes] = await log.receipts([{ batch: two, index: 2 }]);
  const receipt = verifyReceipt(bytes!, key.publicKey);
  t.ok(receipt.ok && receipt.value.sequence === 2 && receipt.value.index === 2);
  await t.rejects(
    log.receipts([{ batch: two, index: 5 }]),
    /needs a log of more than/,
    'no receipt for what is not there',
  );
  store.close();
});

testOnEachEngine('a group that cannot be written leaves no trace', (t, place) => {
  const store = new Store(place);
  const log = new Log({ store, key: logKeyIn(makeFolder(t)), origin });
  const feed = new Feed(seeded(t, 6));
  const batches = Array.from({ length: 7 }, () => feed.next(0));
  log.append(batches.slice(0, 3), 0);
  const root = log.root();
  // The fourth goes in, the fifth breaks the disk: a value that no engine can take.
  const broken = { ...batches[4]!, firstSec: Number.NaN };
  t.throws(() => log.append([batches[3]!, broken], 0));
  t.equal(log.size, 3);
  t.same(log.root(), root);
  t.equal(log.append(batches.slice(3), 0).filter(({ ok }) => ok).length, 4);
  t.equal(log.size, 7);
  t.equal(store.log.size(), 7);
  store.close();
});

testOnEachEngine('one oracle to a store', (t, place) => {
  const store = new Store(place);
  t.throws(() => new Store(place), { code: 'store-locked' });
  store.close();
  new Store(place).close();
});
