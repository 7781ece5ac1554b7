/** Gas of what oracles attest, whole transactions, on Osaka: n = 4, f = 1, two signatures. gas.test.ts calls it. */
import { id } from 'ethers';
import { deploy, send } from '../helpers/chain.ts';
import { addressesOf, oracleKeys } from './oracle-signers.ts';
import { arbitrationSec, bond, cryptlet, livenessSec, OrderBench } from './order-bench.ts';

export async function measure(): Promise<Record<string, bigint>> {
  const bench = await OrderBench.open();
  try {
    return { ...(await measureReports(bench)), ...(await measureDisputes(bench)) };
  } finally {
    await bench.chain.stop();
  }
}

/** A consumer that keeps the latest payload of each subject, and asks nothing of the order. */
async function measureReports(bench: OrderBench): Promise<Record<string, bigint>> {
  const { oracles, double, parties } = bench;
  const consumer = await deploy(parties.deployer, 'LatestReport', [oracles.contract.target, double.target, cryptlet]);
  const report = bench.report(consumer, { payload: id('first') });
  const first = await bench.transmit(consumer, report);
  const next = await bench.transmit(consumer, { ...report, sequence: 2n, payload: id('next') });
  const verified = await send(oracles.contract, 'verify', [report, await oracles.sign(report)]);
  const configured = await send(oracles.contract, 'configure', [addressesOf(oracleKeys(4, 'next')), 1]);
  await send(oracles.contract, 'configure', [addressesOf(oracles.keys), 1]);
  return {
    'configure 4 oracles': configured.gasUsed,
    'verify a report, 2 of 4 signatures': verified.gasUsed,
    'first report about a subject, 2 of 4 signatures': first.gasUsed,
    'next report about a subject, 2 of 4 signatures': next.gasUsed,
  };
}

async function measureDisputes(bench: OrderBench): Promise<Record<string, bigint>> {
  const { oracles, double, parties } = bench;
  const disputes = await deploy(parties.deployer, 'Disputes', [oracles.contract.target, double.target]);
  await bench.put(1n, 'InTransit', { disputes: disputes.target as string });
  for (const party of ['asserter', 'supplier'] as const) await bench.fund(party, disputes, 2n * bond);
  const asserted = await bench.transmit(disputes, bench.report(disputes), { by: 'asserter' });
  const disputed = await send(disputes, 'dispute', [1n], { by: parties.supplier });
  const rejected = await send(disputes, 'arbitrate', [1n, false, id('reason')], { by: parties.arbiter });
  await bench.transmit(disputes, bench.report(disputes, { sequence: 2n }), { by: 'asserter' });
  await bench.chain.mineAt((await bench.chain.nowSec()) + livenessSec + arbitrationSec + 1);
  const lapsed = await send(disputes, 'lapse', [2n]);
  const withdrawn = await send(disputes, 'withdraw', [bench.token.target], { by: parties.supplier });
  return {
    'assert a fact': asserted.gasUsed,
    'dispute a fact': disputed.gasUsed,
    'reject a fact': rejected.gasUsed,
    'lapse a fact': lapsed.gasUsed,
    'withdraw a bond': withdrawn.gasUsed,
  };
}
