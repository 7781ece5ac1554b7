/**
 * The oracle as a process.
 *
 *   node oracle/dist/main.js --config FILE          runs until SIGTERM or SIGINT
 *   node oracle/dist/main.js init --config FILE     makes the keys that are absent, prints their public parts
 *   node oracle/dist/main.js check --config FILE    reads the configuration and says what is wrong with it
 *   node oracle/dist/main.js token create|list|revoke --config FILE ...    who may ask the API what (API.md)
 *   node oracle/dist/main.js verify bundle FILE     checks an order's bundle, with nothing but the file; 1 if unsound
 *   node oracle/dist/main.js party-key FILE         makes a party's key where there is none, prints its public part
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bytesToHex } from '@coldproof/wire';
import { makeAttestationKey, readAttestationAddress } from './attestation-key.ts';
import { makeTransmitterKey, readTransmitter } from './chain-account.ts';
import { openSigner } from './chain-signer.ts';
import { partyKeyCommand, partySecret, tokenCommand, verifyCommand } from './command.ts';
import { readConfig, readKeyConfig, type KeyConfig } from './config.ts';
import { makeLogKey, readLogPublicKey } from './log-key.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';

async function init(path: string): Promise<void> {
  const keys = readKeyConfig(path, process.env);
  const { passphrase, logKeyFile, transmitterKeyFile, attestationKeyFile, signer } = keys;
  const logPublicKey = existsSync(logKeyFile) ? readLogPublicKey(logKeyFile) : makeLogKey(logKeyFile, passphrase);
  if (signer === undefined && !existsSync(transmitterKeyFile)) {
    const { json } = await makeTransmitterKey(passphrase);
    writeSecretFile(transmitterKeyFile, `${json}\n`);
  }
  const { address } = await openTransmitter(keys);
  const attestation = attestationKeyFile === undefined ? {} : initAttestation(attestationKeyFile, passphrase);
  const made = { logPublicKey: bytesToHex(logPublicKey), transmitter: address, ...attestation };
  process.stdout.write(`${JSON.stringify(made)}\n`);
}

function initAttestation(path: string, passphrase: string) {
  const address = existsSync(path) ? readAttestationAddress(path) : makeAttestationKey(path, passphrase);
  return { signer: `0x${bytesToHex(address)}` };
}

/** The account that pays: a remote signer's, or a key in a file. */
async function openTransmitter({ signer, transmitterKeyFile, passphrase }: KeyConfig) {
  if (signer !== undefined) return openSigner(signer);
  return readTransmitter(transmitterKeyFile, readSecretFile(transmitterKeyFile), passphrase);
}

const usage = `usage: main.js [init | check] --config FILE
       main.js token create --config FILE --scope NAME [--scope NAME] [--label TEXT] [--party ADDRESS]
               [--orders ID,ID] [--channels NAME,NAME] [--days N]
       main.js token list --config FILE
       main.js token revoke --config FILE --id ID
       main.js verify bundle FILE [--log-key HEX] [--device HEX] [--party-key FILE [--out FILE.csv]]
       main.js party-key FILE`;

const text = { type: 'string' } as const;
const options = {
  ...{ config: text, label: text, scope: { type: 'string', multiple: true } as const, party: text, orders: text },
  ...{ channels: text, days: text, id: text, 'log-key': text, device: text },
  ...{ 'party-key': text, out: text },
  help: { type: 'boolean', short: 'h' } as const,
};

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (cause) {
    throw new OperatingError('config-invalid', `${describeError(cause)}\n${usage}`, { retry: 'never' });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, verb, file] = positionals;
  const { config, 'log-key': logPublicKey, device, 'party-key': partyKey, out, help, ...tokenOptions } = values;
  if (help === true) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  if (command === 'verify' && verb === 'bundle' && file !== undefined && positionals.length === 3) {
    const trust = {
      ...(logPublicKey === undefined ? {} : { logPublicKey }),
      ...(device === undefined ? {} : { device }),
      ...partySecret(partyKey === undefined ? {} : { partyKey }, process.env),
    };
    const { text, isSound } = verifyCommand(file, trust, out === undefined ? {} : { out });
    process.stdout.write(`${text}\n`);
    process.exitCode = isSound ? 0 : 1;
    return;
  }
  if (command === 'party-key' && verb !== undefined && positionals.length === 2) {
    process.stdout.write(`${partyKeyCommand(verb, process.env)}\n`);
    return;
  }
  if (config === undefined || positionals.length > (command === 'token' ? 2 : 1)) {
    throw new OperatingError('config-invalid', usage, { retry: 'never' });
  }
  if (command === 'token') {
    process.stdout.write(`${tokenCommand(verb, { config, ...tokenOptions }, Date.now())}\n`);
    return;
  }
  if (command === 'init') return init(config);
  if (command === 'check') return void readConfig(config, process.env);
  if (command !== undefined) throw new OperatingError('config-invalid', usage, { retry: 'never' });
  // Read where it is needed: a command should not wait for all that a node is made of.
  const { runOracle } = await import('./run.ts');
  const read = readConfig(config, process.env);
  return runOracle(read, await openTransmitter(read));
}

try {
  await main();
} catch (error) {
  // An operating fault is told in a sentence; a bug keeps its stack.
  if (!(error instanceof OperatingError)) throw error;
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
