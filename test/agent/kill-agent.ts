/**
 * The process that the kill campaign kills: the agent with all its parts. Loads everything, then waits for a line on
 * stdin before it touches the state directory, so that the next one can be made ready while this one runs.
 */
import { writeSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { startAgent } from '@coldproof/agent/agent';
import { realClock } from '@coldproof/agent/clock';
import { Journal } from '@coldproof/agent/journal';
import { openKeyFile } from '@coldproof/agent/key-file';
import { mqttLink } from '@coldproof/agent/link';
import { mustParse, passphrase, sensorPassword, truckYaml } from './fixture.ts';

const [stateDir = '', oraclePort = '0', logPublicKey = ''] = process.argv.slice(2);
const publicKey = new Uint8Array(Buffer.from(logPublicKey, 'hex'));
const config = mustParse(truckYaml(stateDir, { oraclePort: Number(oraclePort), logPublicKey: publicKey }));
const keyStore = openKeyFile(join(stateDir, 'keys', 'TRUCK-7.json'), passphrase);
writeSync(1, 'ready\n');
await once(process.stdin, 'data');
const { name, url } = config.uplinks[0]!;
const agent = await startAgent(config, {
  clock: realClock,
  random: Math.random,
  log: () => undefined,
  journal: Journal.open(stateDir),
  links: new Map([[name, mqttLink({ url, username: undefined, password: undefined })]]),
  keyStores: new Map([['TRUCK-7', keyStore]]),
  sensorPasswords: new Map([['TRUCK-7', sensorPassword]]),
});
writeSync(1, `port ${agent.brokerPort ?? 0}\n`);
