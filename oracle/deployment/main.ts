/**
 * Deploys the contracts on a chain (contracts/DEPLOY.md):
 *
 *   node oracle/dist/deployment/main.js --rpc URL --plan FILE --key-file FILE --out FILE
 *
 * The key file is encrypted JSON, whose passphrase is in COLDPROOF_PASSPHRASE, or a bare key. It may be run again.
 */
import { parseArgs } from 'node:util';
import { readTransmitter } from '../chain-account.ts';
import { OperatingError, describeError } from '../operating-error.ts';
import { readSecretFile } from '../secret-file.ts';
import { AddressFile } from './address-file.ts';
import { deploy } from './deploy.ts';
import { Ledger } from './ledger.ts';
import { readPlan } from './plan.ts';

const usage = 'usage: main.js --rpc URL --plan FILE --key-file FILE --out FILE';

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { rpc: text, plan: text, 'key-file': text, out: text } });
  const { rpc, plan: planFile, 'key-file': keyFile, out } = values;
  if (rpc === undefined || planFile === undefined || keyFile === undefined || out === undefined) {
    throw new OperatingError('config-invalid', usage, { retry: 'never' });
  }
  const plan = readPlan(planFile);
  const passphrase = process.env['COLDPROOF_PASSPHRASE'] ?? '';
  const transmitter = await readTransmitter(keyFile, readSecretFile(keyFile), passphrase);
  const ledger = new Ledger(rpc, plan.chainId, transmitter);
  try {
    await deploy(plan, ledger, new AddressFile(out, plan.chainId), (line) => process.stdout.write(`${line}\n`));
    process.stdout.write(`done: ${out}\n`);
  } finally {
    ledger.close();
  }
}

try {
  await main();
} catch (error) {
  // An operating fault is told in a sentence; a bug keeps its stack.
  if (!(error instanceof OperatingError)) throw error;
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
