/** Silence: each move from each state, each border second, and what a carrier may try against it. */
import t, { type Test } from 'tap';
import { AbiCoder, keccak256, ZeroAddress } from 'ethers';
import { flags, type Heartbeat } from '@coldproof/wire';
import { call, refusal, send, type Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { dispatchedAtSec, flipBit, hex } from './fixture.ts';
import { abiHeartbeat, sealHeartbeat } from './signs-of-life.ts';
import { challengeSecMax, challengeUntilSec, orderId, reportedAtSec, silenceSecMax, Watchtower } from './watchtower.ts';
import { orderStates } from './order-state.ts';

/** Each test on a chain as it was after the dispatch. */
async function each(t: Test, name: string, run: (t: Test, tower: Watchtower) => Promise<void>): Promise<void> {
  await t.test(name, async (t) => {
    const snapshot = await tower.chain.snapshot();
    await run(t, tower);
    await tower.chain.revert(snapshot);
  });
}

const tower = await Watchtower.open();
t.teardown(() => tower.chain.stop());

function factDigest(seenAt: number, unmonitoredAt: number): string {
  const types = ['string', 'uint256', 'address', 'uint256', 'uint32', 'uint32'];
  const values = [tower.chain.chainId, tower.silence.target, orderId, seenAt, unmonitoredAt];
  return keccak256(AbiCoder.defaultAbiCoder().encode(types, ['coldproof v1 silence', ...values]));
}

t.test('each move, from the state that it leads from', async (t) => {
  await each(t, 'Monitored, proveHeartbeat: Monitored', async (t, tower) => {
    t.equal(await call(tower.silence, 'shipments'), tower.orders.target);
    const deadlineAt = BigInt(dispatchedAtSec + silenceSecMax);
    const seenAt = BigInt(dispatchedAtSec);
    t.same(await tower.watch(), { state: 'Monitored', seenAt, unmonitoredAt: 0n, deadlineAt }, 'from the dispatch on');
    const { events } = await tower.proveHeartbeat(dispatchedAtSec + 600, dispatchedAtSec + 700);
    t.match(events, [{ name: 'HeartbeatProved', args: { orderId, seenAt: seenAt + 600n } }]);
    t.match(await tower.watch(), { state: 'Monitored', seenAt: seenAt + 600n, deadlineAt: deadlineAt + 600n });
  });

  await each(t, 'Monitored, reportSilence: Unmonitored', async (t, tower) => {
    const { events } = await tower.reportSilence();
    const [seenAt, unmonitoredAt] = [BigInt(dispatchedAtSec), BigInt(reportedAtSec)];
    const challengeUntil = BigInt(challengeUntilSec);
    const device = hex(tower.device.device);
    const reporter = (await tower.chain.account(6)).address;
    const args = { orderId, device, seenAt, unmonitoredAt, challengeUntil, reporter };
    t.same(events, [{ name: 'SilenceReported', args }]);
    t.same(await tower.watch(), { state: 'Unmonitored', seenAt, unmonitoredAt, deadlineAt: challengeUntil });
  });

  await each(t, 'Unmonitored, disprove: Monitored', async (t, tower) => {
    await tower.reportSilence();
    const lastSec = reportedAtSec + 60;
    const { events } = await tower.disprove(lastSec, reportedAtSec + 120);
    t.match(events, [{ name: 'SilenceDisproved', args: { orderId, seenAt: BigInt(lastSec) } }]);
    const deadlineAt = BigInt(lastSec + silenceSecMax);
    t.same(await tower.watch(), { state: 'Monitored', seenAt: BigInt(lastSec), unmonitoredAt: 0n, deadlineAt });
  });

  await each(t, 'Unmonitored, declareBreach: Breached', async (t, tower) => {
    await tower.reportSilence();
    const { events } = await tower.declareBreach();
    const digest = factDigest(dispatchedAtSec, reportedAtSec);
    const times = { seenAt: BigInt(dispatchedAtSec), unmonitoredAt: BigInt(reportedAtSec) };
    t.match(events, [{ name: 'SilenceBreached', args: { orderId, factDigest: digest, ...times } }]);
    t.same(await tower.watch(), { state: 'Breached', ...times, deadlineAt: 0n });
    const conclusion = (await call(tower.orders, 'conclusionOf', [orderId])) as unknown[];
    t.same([...conclusion], [tower.silence.target, digest, 3n], 'concluded once, as Cause.Silence');
  });
});

const moves: Record<string, (atSec: number) => Promise<Sent>> = {
  proveHeartbeat: (atSec) => tower.proveHeartbeat(dispatchedAtSec + 60, atSec),
  reportSilence: (atSec) => tower.reportSilence(atSec),
  disprove: (atSec) => tower.disprove(dispatchedAtSec + 200, atSec),
  declareBreach: (atSec) => tower.declareBreach(atSec),
};

t.test('no move leads from another state', async (t) => {
  const [monitored, unmonitored] = [1n, 2n];
  for (const name of ['disprove', 'declareBreach'] as const) {
    await each(t, `Monitored, ${name}`, async (t) => {
      const sent = await refusal(moves[name]!(challengeUntilSec + 1));
      t.match(sent, { reason: 'SilenceStateNot', args: [orderId, monitored, unmonitored] });
    });
  }
  for (const name of ['proveHeartbeat', 'reportSilence'] as const) {
    await each(t, `Unmonitored, ${name}`, async (t, tower) => {
      await tower.reportSilence();
      const sent = await refusal(moves[name]!(challengeUntilSec));
      t.match(sent, { reason: 'SilenceStateNot', args: [orderId, unmonitored, monitored] });
    });
  }
  for (const [name, move] of Object.entries(moves)) {
    await each(t, `Breached, ${name}`, async (t, tower) => {
      await tower.reportSilence();
      await tower.declareBreach();
      const sent = await refusal(move(challengeUntilSec + 10_000));
      t.match(sent, { reason: 'OrderNotInTransit', args: [orderId, BigInt(orderStates.indexOf('Cancelled'))] });
    });
  }
});

t.test('only an order in transit is watched', async (t) => {
  for (const state of orderStates.filter((each) => each !== 'InTransit')) {
    await each(t, `an order that is ${state}`, async (t, tower) => {
      await tower.reportSilence();
      await tower.setState(state);
      for (const [i, [name, move]] of Object.entries(moves).entries()) {
        const sent = await refusal(move(challengeUntilSec + 1 + i));
        t.match(sent, { reason: 'OrderNotInTransit', args: [orderId, BigInt(orderStates.indexOf(state))] }, name);
      }
      t.match(await tower.watch(), { state: 'None', seenAt: 0n, unmonitoredAt: 0n, deadlineAt: 0n });
    });
  }
  for (const [name, monitor] of [
    ['nobody', ZeroAddress],
    ['somebody else', `0x${'33'.repeat(20)}`],
  ] as const) {
    await each(t, `an order that is watched by ${name}`, async (t, tower) => {
      await tower.setMonitor(monitor);
      for (const [i, move] of Object.values(moves).entries()) {
        const sent = await refusal(move(challengeUntilSec + 1 + i));
        t.match(sent, { reason: 'MonitorNot', args: [orderId, monitor] });
      }
      t.match(await tower.watch(), { state: 'None' });
    });
  }
});

t.test('no second is lost between two states, and none belongs to both', async (t) => {
  const deadlineSec = dispatchedAtSec + silenceSecMax;
  for (const atSec of [deadlineSec - 1, deadlineSec]) {
    await each(t, `reported ${deadlineSec - atSec} s before the silence is too long`, async (t, tower) => {
      const want = { reason: 'SilenceTooShort', args: [orderId, BigInt(deadlineSec), BigInt(atSec)] };
      t.match(await refusal(tower.reportSilence(atSec)), want);
    });
  }
  await each(t, 'reported in the first second of it', async (t, tower) => {
    await tower.reportSilence(deadlineSec + 1);
    t.match(await tower.watch(), { state: 'Unmonitored', unmonitoredAt: BigInt(deadlineSec + 1) });
  });
  for (const atSec of [challengeUntilSec - 1, challengeUntilSec]) {
    await each(t, `${challengeUntilSec - atSec} s before the end of the challenge`, async (t, tower) => {
      await tower.reportSilence();
      const want = { reason: 'ChallengeNotOver', args: [orderId, BigInt(challengeUntilSec), BigInt(atSec)] };
      const early = await tower.chain.snapshot();
      t.match(await refusal(tower.declareBreach(atSec)), want);
      await tower.chain.revert(early);
      await tower.disprove(reportedAtSec, atSec);
      t.match(await tower.watch(), { state: 'Monitored' }, 'it may be disproved');
    });
  }
  await each(t, 'in the first second after the challenge', async (t, tower) => {
    await tower.reportSilence();
    const [late, atSec] = [BigInt(challengeUntilSec), challengeUntilSec + 1];
    const sent = await refusal(tower.disprove(reportedAtSec, atSec));
    t.match(sent, { reason: 'ChallengeOver', args: [orderId, late, late + 1n] });
    await tower.declareBreach(atSec + 1);
    t.match(await tower.watch(), { state: 'Breached' });
  });
});

t.test('which batch is a sign of life', async (t) => {
  const now = dispatchedAtSec + 1_000;
  for (const lastSec of [dispatchedAtSec - 1, dispatchedAtSec]) {
    await each(t, `a batch that ends ${dispatchedAtSec - lastSec} s before the dispatch`, async (t, tower) => {
      const want = { reason: 'HeartbeatNotNewer', args: [orderId, BigInt(lastSec), BigInt(dispatchedAtSec)] };
      t.match(await refusal(tower.proveHeartbeat(lastSec, now)), want);
    });
  }
  for (const lastSec of [dispatchedAtSec + 1, now]) {
    await each(t, `a batch that ends ${lastSec - dispatchedAtSec} s after it, up to now`, async (t, tower) => {
      await tower.proveHeartbeat(lastSec, now);
      t.match(await tower.watch(), { seenAt: BigInt(lastSec) });
      const again = await refusal(tower.proveHeartbeat(lastSec, now + 1));
      t.match(again, { reason: 'HeartbeatNotNewer' }, 'once');
    });
  }
  await each(t, 'a batch of the next second', async (t, tower) => {
    const future = { reason: 'HeartbeatInFuture', args: [orderId, BigInt(now + 1), BigInt(now)] };
    t.match(await refusal(tower.proveHeartbeat(now + 1, now)), future);
    await tower.reportSilence();
    const disproof = refusal(tower.disprove(reportedAtSec + 61, reportedAtSec + 60));
    t.match(await disproof, { reason: 'HeartbeatInFuture' });
  });
  const lastAtMin = reportedAtSec - silenceSecMax;
  await each(t, 'a batch that is one second too old to disprove', async (t, tower) => {
    await tower.reportSilence();
    const sent = await refusal(tower.disprove(lastAtMin - 1, reportedAtSec + 1));
    t.match(sent, { reason: 'HeartbeatTooOld', args: [orderId, BigInt(lastAtMin - 1), BigInt(lastAtMin)] });
  });
  for (const lastSec of [lastAtMin, lastAtMin + 1, reportedAtSec + 60]) {
    const name = lastSec > reportedAtSec ? 'after' : `${reportedAtSec - lastSec} s before`;
    await each(t, `a batch that ends ${name} the report disproves it`, async (t, tower) => {
      await tower.reportSilence();
      await tower.disprove(lastSec, reportedAtSec + 60);
      t.match(await tower.watch(), { state: 'Monitored', seenAt: BigInt(lastSec) });
    });
  }
});

t.test('whose batch is a sign of life', async (t) => {
  const lastSec = reportedAtSec - 60;
  const honest = tower.beat(lastSec);
  const proofs: readonly [string, string, Heartbeat][] = [
    ['another device', 'DeviceNotAssigned', sealHeartbeat(new VoyageDevice(2), lastSec)],
    ['a clock not to be trusted', 'BatchFlagged', sealHeartbeat(tower.device, lastSec, flags.clockUnsynchronised)],
    ['a high-s twin', 'SignatureNotLowS', { ...honest, signature: highTwin(honest.signature) }],
    ['a false signature', 'SignatureInvalid', { ...honest, signature: flipBit(honest.signature, 3) }],
    ['an older batch with a later date', 'SignatureInvalid', { ...tower.beat(lastSec - 9), batch: honest.batch }],
  ];
  for (const [name, reason, proof] of proofs) {
    await each(t, name, async (t, tower) => {
      const args = [orderId, abiHeartbeat(proof)];
      await tower.chain.mineAt(lastSec + 1);
      t.match(await refusal(send(tower.silence, 'proveHeartbeat', args)), { reason }, 'proveHeartbeat');
      await tower.reportSilence();
      t.match(await refusal(send(tower.silence, 'disprove', args)), { reason }, 'disprove');
    });
  }
});

t.test('a carrier that revokes its own device to void evidence loses the order to silence', async (t) => {
  await each(t, 'the story', async (t, tower) => {
    const revokedFrom = dispatchedAtSec + 900;
    await tower.proveHeartbeat(revokedFrom - 1, revokedFrom + 100);
    await tower.revoke(revokedFrom);
    const validUntil = { reason: 'DeviceNotValid', args: [hex(tower.device.device), BigInt(revokedFrom)] };
    t.match(
      await refusal(tower.proveHeartbeat(revokedFrom, revokedFrom + 300)),
      validUntil,
      'no batch counts any more',
    );
    const reportedAt = revokedFrom + silenceSecMax;
    await tower.reportSilence(reportedAt);
    t.match(
      await refusal(tower.disprove(reportedAt, reportedAt + 1)),
      { reason: 'DeviceNotValid' },
      'nor as a disproof',
    );
    await tower.declareBreach(reportedAt + challengeSecMax + 1);
    t.match(await tower.watch(), { state: 'Breached', seenAt: BigInt(revokedFrom - 1) });
  });

  await each(t, 'a batch of the last second before the revocation still disproves', async (t, tower) => {
    await tower.reportSilence();
    await tower.revoke(reportedAtSec);
    await tower.disprove(reportedAtSec - 1, reportedAtSec + 60);
    t.match(await tower.watch(), { state: 'Monitored' });
  });
});

t.test('an order that is released starts anew', async (t) => {
  const releasedAt = reportedAtSec + 600;
  for (const judgedFrom of [reportedAtSec, releasedAt]) {
    await each(t, `a report is forgotten, ${judgedFrom - reportedAtSec} s after it`, async (t, tower) => {
      await tower.reportSilence();
      await tower.setOrder({ state: 'Quarantined' });
      await tower.setOrder({ judgedFrom });
      const seenAt = BigInt(judgedFrom);
      const deadlineAt = seenAt + BigInt(silenceSecMax);
      t.same(await tower.watch(), { state: 'Monitored', seenAt, unmonitoredAt: 0n, deadlineAt });
      const early = await refusal(tower.declareBreach(judgedFrom + silenceSecMax - 1));
      t.match(early, { reason: 'SilenceStateNot' });
      t.match(await refusal(tower.reportSilence(judgedFrom + silenceSecMax)), { reason: 'SilenceTooShort' });
      await tower.reportSilence(judgedFrom + silenceSecMax + 1);
      await tower.declareBreach(judgedFrom + silenceSecMax + challengeSecMax + 2);
      t.match(await tower.watch(), { state: 'Breached', seenAt });
    });
  }

  await each(t, 'a heartbeat from before the release is no news', async (t, tower) => {
    await tower.proveHeartbeat(dispatchedAtSec + 60, dispatchedAtSec + 70);
    await tower.setOrder({ judgedFrom: releasedAt });
    t.match(await refusal(tower.proveHeartbeat(releasedAt, releasedAt + 60)), { reason: 'HeartbeatNotNewer' });
    await tower.proveHeartbeat(releasedAt + 1, releasedAt + 61);
    t.match(await tower.watch(), { seenAt: BigInt(releasedAt + 1) });
  });

  await each(t, 'a breach that was released can be followed by another, of its own name', async (t, tower) => {
    await tower.reportSilence();
    await tower.declareBreach();
    const judgedFrom = challengeUntilSec + 500;
    await tower.setOrder({ judgedFrom });
    t.match(await tower.watch(), { state: 'Monitored' });
    const unmonitoredAt = judgedFrom + silenceSecMax + 1;
    await tower.reportSilence(unmonitoredAt);
    const { events } = await tower.declareBreach(unmonitoredAt + challengeSecMax + 1);
    t.match(events, [{ args: { factDigest: factDigest(judgedFrom, unmonitoredAt) } }]);
  });
});

t.test('a conclusion that fails leaves the breach to be declared again', async (t) => {
  await each(t, 'as often as it takes', async (t, tower) => {
    await tower.reportSilence();
    await send(tower.orders, 'setStubborn', [true]);
    t.ok(await refusal(tower.declareBreach()), 'Shipments refuses');
    t.match(await tower.watch(), { state: 'Unmonitored' });
    await send(tower.orders, 'setStubborn', [false]);
    await tower.declareBreach(challengeUntilSec + 100);
    t.match(await tower.watch(), { state: 'Breached' });
  });
});

t.test('an order ended by another fact is not breached', async (t) => {
  await each(t, 'though it was reported as silent', async (t, tower) => {
    await tower.reportSilence();
    await send(tower.orders, 'conclude', [orderId, `0x${'ee'.repeat(32)}`, 1]);
    t.match(await tower.watch(), { state: 'None' });
    await tower.setOrder();
    await send(tower.orders, 'conclude', [orderId, `0x${'ee'.repeat(32)}`, 3]);
    t.match(await tower.watch(), { state: 'None' }, 'nor by the silence of another time');
  });
});
