/** A report's way into a contract: what it is asked, and that it is used once, whatever becomes of it. */
import t, { type Test } from 'tap';
import { id, zeroPadBytes, type Contract } from 'ethers';
import { call, deploy, send } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { cryptlet, OrderBench, refusalOf } from './order-bench.ts';

const moods = { storing: 0, reverting: 1, revertingLong: 2, burningAllGas: 3 };
const other = id('another program');
const payload = id('a fact');
const nothing = zeroPadBytes('0x', 32);

type Opened = { readonly bench: OrderBench; readonly probe: Contract };

async function opened(t: Test): Promise<Opened> {
  const bench = await OrderBench.open();
  t.teardown(() => bench.chain.stop());
  const probe = await deploy(bench.parties.deployer, 'ConsumerProbe', [
    bench.oracles.contract.target,
    bench.double.target,
  ]);
  await bench.put(1n, 'InTransit');
  return { bench, probe };
}

t.test('a report is applied, once', async (t) => {
  const { bench, probe } = await opened(t);
  t.equal(await call(probe, 'oracles'), bench.oracles.contract.target);
  t.equal(await call(probe, 'shipments'), bench.double.target);
  const report = bench.report(probe, { payload });
  const digest = await bench.oracles.digestReport(report);
  const { events } = await bench.transmit(probe, report);
  t.match(events, [{ name: 'ReportApplied', args: { cryptlet, subject: 1n, sequence: 1n, digest } }]);
  t.equal(events.length, 1);
  t.equal(await call(probe, 'latest', [1n]), payload);
  t.equal(await call(probe, 'sequenceOf', [cryptlet, 1n]), 1n);
  t.same(await refusalOf(bench.transmit(probe, report)), ['SequenceNotForward', [1n, 1n]]);
});

t.test('each reason to refuse a report leaves it as it was', async (t) => {
  const { bench, probe } = await opened(t);
  const twin = await deploy(bench.parties.deployer, 'ConsumerProbe', [
    bench.oracles.contract.target,
    bench.double.target,
  ]);
  const report = bench.report(probe, { sequence: 5n });
  const signatures = await bench.oracles.sign(report);
  const elsewhere = await refusalOf(send(twin, 'transmit', [report, signatures]));
  t.same(elsewhere, ['ConsumerNot', [probe.target, twin.target]], 'for another contract');
  const unbound = { ...report, cryptlet: other };
  t.same(await refusalOf(bench.transmit(probe, unbound)), ['CryptletNotBound', [other, 1n]], 'of no bound cryptlet');
  const unknown = { ...report, subject: 2n };
  t.same(await refusalOf(bench.transmit(probe, unknown)), ['CryptletNotBound', [cryptlet, 2n]], 'about no order');
  t.same(await refusalOf(bench.transmit(probe, { ...report, sequence: 0n })), ['SequenceNotForward', [0n, 0n]]);
  const [reason] = await refusalOf(send(probe, 'transmit', [{ ...report, sequence: 6n }, signatures]));
  t.equal(reason, 'SignerUnknown', 'not signed');
  const short = await refusalOf(send(probe, 'transmit', [report, signatures.slice(1)]));
  t.same(short, ['SignatureCountNot', [1n, 2n]], 'not signed by enough');
  const late = { ...report, deadline: startSec - 1 };
  t.equal((await refusalOf(bench.transmit(probe, late)))[0], 'ReportExpired', 'after its deadline');
  t.equal(await call(probe, 'sequenceOf', [cryptlet, 1n]), 0n);
  await bench.transmit(probe, report);
  for (const sequence of [1n, 4n, 5n]) {
    t.same(await refusalOf(bench.transmit(probe, { ...report, sequence })), ['SequenceNotForward', [sequence, 5n]]);
  }
  await bench.transmit(probe, { ...report, sequence: 6n });
});

t.test('a sequence is of one cryptlet and one subject', async (t) => {
  const { bench, probe } = await opened(t);
  await bench.put(2n, 'InTransit', { attested: { cryptlets: [cryptlet, other] } });
  const report = bench.report(probe);
  await bench.transmit(probe, { ...report, sequence: 9n });
  await bench.transmit(probe, { ...report, subject: 2n });
  await bench.transmit(probe, { ...report, cryptlet: other });
  t.equal(await call(probe, 'sequenceOf', [cryptlet, 1n]), 9n);
  t.equal(await call(probe, 'sequenceOf', [cryptlet, 2n]), 1n);
  t.equal(await call(probe, 'sequenceOf', [other, 1n]), 1n);
});

t.test('a report that failed is used up: it cannot be brought up again', async (t) => {
  const { bench, probe } = await opened(t);
  const badMood = probe.interface.encodeErrorResult('BadMood', [1n]);
  const rows: [string, number, string][] = [
    ['a reason', moods.reverting, badMood],
    ['a reason of 100,000 bytes, cut', moods.revertingLong, `0x${'00'.repeat(256)}`],
    ['all its gas burnt, and no reason', moods.burningAllGas, '0x'],
  ];
  for (const [i, [name, mood, reason]] of rows.entries()) {
    await send(probe, 'setMood', [mood]);
    const report = bench.report(probe, { sequence: BigInt(i + 1), payload });
    const digest = await bench.oracles.digestReport(report);
    const { events } = await bench.transmit(probe, report);
    t.match(events, [{ name: 'ReportFailed', args: { cryptlet, subject: 1n, sequence: BigInt(i + 1), digest } }], name);
    t.equal(events[0]!.args['reason'], reason, name);
    t.equal(await call(probe, 'latest', [1n]), nothing, 'what it did is undone');
    await send(probe, 'setMood', [moods.storing]);
    const again = await refusalOf(bench.transmit(probe, report));
    t.same(again, ['SequenceNotForward', [BigInt(i + 1), BigInt(i + 1)]], `${name}: not again`);
  }
  await bench.transmit(probe, bench.report(probe, { sequence: 4n, payload }));
  t.equal(await call(probe, 'latest', [1n]), payload);
});

t.test('no gas limit makes a report fail: it is applied, or not used', async (t) => {
  const { bench, probe } = await opened(t);
  const report = bench.report(probe, { payload });
  const args = [report, await bench.oracles.sign(report)];
  const attempt = async (gasLimit: bigint): Promise<boolean> => {
    const snapshot = await bench.chain.snapshot();
    const [reason] = await refusalOf(bench.transmit(probe, report, { gasLimit }));
    const isUsed = reason === undefined;
    const sequence = await call(probe, 'sequenceOf', [cryptlet, 1n]);
    const latest = await call(probe, 'latest', [1n]);
    t.same([sequence, latest], isUsed ? [1n, payload] : [0n, nothing], `${gasLimit} gas: ${isUsed ? '' : 'not '}used`);
    await bench.chain.revert(snapshot);
    return isUsed;
  };
  let enough = 60_000n;
  while (!(await attempt(enough))) enough += 20_000n;
  for (let gasLimit = enough - 20_000n; gasLimit < enough; gasLimit += 1_000n) await attempt(gasLimit);
  const request = { to: probe.target, data: probe.interface.encodeFunctionData('transmit', args) };
  const low = await bench.chain.provider
    .call({ ...request, gasLimit: enough - 20_000n })
    .catch((error: unknown) => error);
  const { data } = low as { data: string };
  t.equal(probe.interface.parseError(data)?.name, 'GasTooLow', 'and the reason is named');
});

t.test('nobody but the contract itself applies a report', async (t) => {
  const { bench, probe } = await opened(t);
  const by = bench.parties.stranger;
  const refused = await refusalOf(send(probe, 'applyReport', [bench.report(probe), payload], { by }));
  t.same(refused, ['CallerNotSelf', [by.address]]);
});

t.test('a proved fact is one of a device or of silence, and no attested one', async (t) => {
  const { bench, probe } = await opened(t);
  const causes = ['None', 'Excursion', 'CumulativeExcursion', 'Silence', 'Attested'];
  for (const [cause, name] of causes.entries()) {
    await bench.put(1n, 'Cancelled', { cause });
    const isProved = name !== 'None' && name !== 'Attested';
    const refused = await refusalOf(call(probe, 'requireProved', [1n]));
    t.same(refused, isProved ? [undefined, []] : ['FactNotProved', [1n, BigInt(cause)]], name);
  }
});
