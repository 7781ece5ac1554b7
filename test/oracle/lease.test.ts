/** Who acts on the chain, where several could: by the database's clock, and by the fence where clocks do not help. */
import t from 'tap';
import { realClock } from '@coldproof/oracle/clock';
import { Lease } from '@coldproof/oracle/lease';
import { Store } from '@coldproof/oracle/store';
import { until } from './oracle-fixture.ts';
import { testOnEachEngine } from './stores.ts';
import { cancelledOnce, Life, roundsUntil, scene, stateOf } from './transmit-fixture.ts';

/** Long enough to be held through a test of a few statements. */
const leaseMs = 600_000;

testOnEachEngine('a lease is held by one, and changes hands when it is given back or runs out', async (t, place) => {
  const store = new Store(place);
  const open = (holder: string, ms = leaseMs) => new Lease({ store, pace: realClock }, { holder, leaseMs: ms });
  const [one, two] = [open('one'), open('two')];
  t.equal(one.isHeld, false);
  t.throws(() => one.mustHold(), { code: 'lease-lost', retry: 'later' });
  t.equal(one.renew(), true);
  t.equal(two.renew(), false);
  t.equal(one.renew(), true, 'it is prolonged');
  one.release();
  t.equal(two.renew(), true);
  t.equal(one.renew(), false);
  t.throws(() => store.transaction(() => one.confirm()), { code: 'lease-lost' });
  store.transaction(() => two.confirm());
  two.release();
  const short = open('short', 20);
  t.equal(short.renew(), true);
  await until('it runs out', () => two.renew());
  t.throws(() => short.mustHold(), { code: 'lease-lost' });
  t.equal(short.renew(), false, 'its own name does not bring it back');
  t.throws(() => store.transaction(() => short.confirm()), { code: 'lease-lost' });
  store.close();
});

t.test('two that believe that they hold the lease: one transaction', async (t) => {
  const made = await scene(t, 81);
  const { chain } = made.world.anvil;
  const nonce = () => chain.request<string>('eth_getTransactionCount', [chain.account(9).address, 'latest']);
  const before = Number(await nonce());
  /** A clock that has stopped: by it the lease never ends. */
  const frozen = { nowMs: () => 0 };
  let takeOver: () => void = () => undefined;
  let stale: Lease | undefined;
  const first = new Life(made.world, made.folder, {
    fence: (store) => {
      stale = new Lease({ store, pace: frozen }, { holder: 'first', leaseMs });
      stale.renew();
      return stale;
    },
    // The worst moment: the transaction is signed, and not yet in the store.
    onCrashPoint: (name) => {
      if (name === 'transmit-signed') takeOver();
    },
  });
  let fresh: Lease | undefined;
  const second = new Life(made.world, made.folder, {
    store: first.store,
    fence: (store) => (fresh = new Lease({ store, pace: realClock }, { holder: 'second', leaseMs })),
  });
  takeOver = () => {
    // As if its time had run out, which its own clock does not say.
    first.store.lease.release('chain', 1);
    if (!fresh!.renew()) throw new Error('the lease was free');
  };
  await t.rejects(first.round(), { code: 'lease-lost' });
  t.equal(stateOf(first, made.orderId), 'unstarted', 'nothing of it was stored, so nothing of it can be sent');
  await t.rejects(first.round(), { code: 'lease-lost' }, 'nor at the next try');
  await roundsUntil(second, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'two holders');
  t.equal(Number(await nonce()), before + 1, 'one transaction in all');
  second.chain.close();
  first.close();
});

t.test('the lease is lost between the store and the send: the successor sends the same bytes', async (t) => {
  const made = await scene(t, 82);
  const { chain } = made.world.anvil;
  const nonce = () => chain.request<string>('eth_getTransactionCount', [chain.account(9).address, 'latest']);
  const before = Number(await nonce());
  let nowMs = 0;
  const first = new Life(made.world, made.folder, {
    fence: (store) => {
      const lease = new Lease({ store, pace: { nowMs: () => nowMs } }, { holder: 'first', leaseMs });
      lease.renew();
      return lease;
    },
    onCrashPoint: (name) => {
      if (name === 'transmit-stored') nowMs += leaseMs;
    },
  });
  await t.rejects(first.round(), { code: 'lease-lost' }, 'it stops at once');
  t.equal(Number(await nonce()), before);
  first.store.lease.release('chain', 1);
  const second = new Life(made.world, made.folder, {
    store: first.store,
    fence: (store) => {
      const lease = new Lease({ store, pace: realClock }, { holder: 'second', leaseMs });
      lease.renew();
      return lease;
    },
  });
  await roundsUntil(second, made.orderId, 'confirmed');
  const [action] = first.store.outbox.ofOrder(made.orderId);
  t.equal(first.store.outbox.attempts(action!.id).length, 1, 'what the first one signed');
  await cancelledOnce(t, made, 'lost before the send');
  t.equal(Number(await nonce()), before + 1);
  second.chain.close();
  first.close();
});
