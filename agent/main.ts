/**
 * The agent's command line. Logs are JSON lines on stderr; what a command answers is one JSON line on stdout.
 *
 *   main.js --config FILE                 runs until SIGTERM or SIGINT
 *   main.js --config FILE --check-config  says all that is wrong with the file, exit 1 when anything is
 *   main.js schema                        JSON Schema of the configuration file, for editors
 *   main.js status --config FILE          what the running agent says of itself
 *   main.js queue --config FILE           what waits for a receipt, of a running agent or a stopped one
 *   main.js verify --config FILE          checks all that a stopped agent's journal holds, exit 1 when it is not sound
 *   main.js replay --config FILE [--device NAME] --from N [--to M]
 *                                         has kept envelopes sent once more, by the agent that runs or by the next one
 *   main.js keygen --config FILE [--device NAME]
 *   main.js enrol --config FILE --device NAME --chain-id N --registry 0x... --owner 0x... --asset NUMBER [--send URL]
 *   main.js rotate  likewise, of a stopped agent: a new key, with the consent of the old one
 *   main.js owner-keygen --key FILE       an owner's key; passphrase in COLDPROOF_OWNER_PASSPHRASE
 *   main.js sign-config --key FILE --device HEX --number N --settings FILE --out FILE [--config FILE --name NAME]
 *   main.js sign-command --key FILE --device HEX --command NAME --argument N --out FILE [--expires-sec N] [--id HEX]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  bytesToHex,
  deviceOf,
  encodeEnrolment,
  enrolmentPreimage,
  isContainerNumber,
  parseHex,
  sequenceMax,
  type Enrolment,
} from '@coldproof/wire';
import { clockOf } from './clock.ts';
import { configSchema, parseConfig, type AgentConfig, type DeviceConfig } from './config.ts';
import { Journal } from './journal.ts';
import { fetchPage, readQueue, verifyState } from './inspect.ts';
import { createKey, keyPath, openKey } from './key-ring.ts';
import { jsonLog } from './log-line.ts';
import { describeError, OperatingError } from './operating-error.ts';
import { sendToOwner } from './owner.ts';
import { ownerCommands, ownerOptions } from './owner-command.ts';
import { requestReplay } from './replay.ts';
import { rotateKey } from './rotate.ts';
import type { ConfigSource } from './run.ts';
import { readKeySecrets } from './secret.ts';

const usage = `usage: main.js --config FILE [--check-config]
       main.js status|queue|verify --config FILE
       main.js replay --config FILE [--device NAME] --from N [--to M]
       main.js schema
       main.js keygen --config FILE [--device NAME]
       main.js enrol|rotate --config FILE --device NAME --chain-id N --registry 0x... --owner 0x... --asset NUMBER
               [--send URL]
       main.js owner-keygen --key FILE
       main.js sign-config --key FILE --device HEX --number N --settings FILE --out FILE [--config FILE --name NAME]
       main.js sign-command --key FILE --device HEX --command NAME --argument N --out FILE [--expires-sec N] [--id HEX]
`;

type Options = ReturnType<typeof readOptions>['values'];

function readOptions(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      'check-config': { type: 'boolean', default: false },
      device: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      'chain-id': { type: 'string' },
      registry: { type: 'string' },
      owner: { type: 'string' },
      asset: { type: 'string' },
      ...ownerOptions,
      send: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

function configSource(path: string | undefined): ConfigSource {
  if (path === undefined) throw invalid(`--config: expected a file, got nothing\n${usage}`);
  return {
    read() {
      try {
        return readFileSync(path, 'utf8');
      } catch (cause) {
        throw invalid(`--config: ${describeError(cause)}`);
      }
    },
    check(yaml, amend) {
      const config = parseConfig(yaml, amend);
      if (!config.ok) throw invalid(`${path}:\n${config.detail}`);
      return config.value;
    },
  };
}

function invalid(message: string): OperatingError {
  return new OperatingError('config-invalid', message, { retry: 'never' });
}

function answer(fields: unknown): void {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

/** A device name that the configuration has; may be left out when there is only one. */
function chooseDevice({ devices }: AgentConfig, name: string | undefined): DeviceConfig {
  const chosen = name === undefined && devices.length === 1 ? devices[0] : devices.find((each) => each.name === name);
  if (chosen !== undefined) return chosen;
  const names = devices.map((device) => device.name).join(', ');
  throw invalid(`--device: expected one of ${names}, got "${name ?? ''}"`);
}

/** The journal has to know the device before its key exists: a crash between the two leaves nothing unusable. */
async function keygen(config: AgentConfig, options: Options): Promise<void> {
  const device = chooseDevice(config, options.device);
  const { name } = device;
  const access = { ...readKeySecrets(config, process.env), isAttended: true };
  const journal = Journal.open(config.stateDir);
  try {
    const adopt = (id: Uint8Array) => journal.adoptDevice(id);
    const keyStore = await createKey(device, keyPath(config, name), access, adopt);
    answer({ name, device: bytesToHex(keyStore.device()), ...coordinates(keyStore.publicKey()) });
  } finally {
    journal.close();
  }
}

function readEnrolment(options: Options): Enrolment {
  const chainId = Number(options['chain-id']);
  const registry = parseAddress('--registry', options.registry);
  const owner = parseAddress('--owner', options.owner);
  const asset = options.asset ?? '';
  if (!Number.isSafeInteger(chainId) || chainId < 1) {
    throw invalid(`--chain-id: expected an integer >= 1, got "${options['chain-id'] ?? ''}"`);
  }
  if (!isContainerNumber(asset)) {
    throw invalid(`--asset: expected a container number with its check digit (ISO 6346), got "${asset}"`);
  }
  return { chainId, registry, owner, asset };
}

/** The device's signed consent to its enrolment, for DeviceRegistry.enrol. */
async function enrol(config: AgentConfig, options: Options): Promise<void> {
  const { chainId, registry, owner, asset } = readEnrolment(options);
  const device = chooseDevice(config, options.device);
  const { name } = device;
  const access = { ...readKeySecrets(config, process.env), isAttended: true };
  const keyStore = openKey(device, keyPath(config, name), access);
  const enrolment = encodeEnrolment({ chainId, registry, owner, asset });
  const signature = bytesToHex(await keyStore.sign(enrolmentPreimage(enrolment)));
  await hand(options, {
    name,
    device: bytesToHex(deviceOf(keyStore.publicKey())),
    ...coordinates(keyStore.publicKey()),
    asset,
    owner: `0x${bytesToHex(owner)}`,
    registry: `0x${bytesToHex(registry)}`,
    chainId,
    r: signature.slice(0, 64),
    s: signature.slice(64),
  });
}

/** A new key in the old one's place, and both keys' consent, for DeviceRegistry.rotate. The agent must be stopped. */
async function rotate(config: AgentConfig, options: Options): Promise<void> {
  const enrolment = readEnrolment(options);
  const device = chooseDevice(config, options.device);
  const access = { ...readKeySecrets(config, process.env), isAttended: true };
  const nowSec = Math.floor(clockOf(process.env['COLDPROOF_DEMONSTRATION_CLOCK']).nowMs() / 1_000);
  const journal = Journal.open(config.stateDir);
  try {
    await hand(options, await rotateKey(config, device, enrolment, { journal, access, nowSec }));
  } finally {
    journal.close();
  }
}

/** What the owner needs, on stdout; with --send also to the owner's endpoint. There is nothing secret in it. */
async function hand({ send }: Options, request: object): Promise<void> {
  answer(request);
  if (send !== undefined) await sendToOwner(send, request);
}

function coordinates(publicKey: Uint8Array): { x: string; y: string } {
  return { x: bytesToHex(publicKey.subarray(0, 32)), y: bytesToHex(publicKey.subarray(32)) };
}

function parseAddress(option: string, text: string | undefined): Uint8Array {
  const bytes = text?.startsWith('0x') === true ? parseHex(text.slice(2).toLowerCase(), 20) : undefined;
  if (bytes === undefined) throw invalid(`${option}: expected 0x and 40 hex digits, got "${text ?? ''}"`);
  return bytes;
}

function verify(config: AgentConfig): void {
  const devices = verifyState(config);
  answer({ devices });
  const problems = devices.reduce((sum, device) => sum + device.problems.length, 0);
  if (problems > 0)
    throw new OperatingError('journal-unsound', `problems: expected 0, got ${problems}`, { retry: 'never' });
}

function replay(config: AgentConfig, options: Options): void {
  const { name: device } = chooseDevice(config, options.device);
  const from = parseSequence('--from', options.from);
  const to = options.to === undefined ? sequenceMax : parseSequence('--to', options.to);
  if (to < from) throw invalid(`--to: expected >= ${from}, got ${to}`);
  requestReplay(config.stateDir, device, { from, to });
  answer({ name: device, from, to, requested: true });
}

function parseSequence(option: string, text: string | undefined): number {
  const sequence = /^\d{1,10}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (sequence <= sequenceMax) return sequence;
  throw invalid(`${option}: expected a sequence, 0 <= n <= ${sequenceMax}, got "${text ?? ''}"`);
}

const commands: { readonly [name: string]: (config: AgentConfig, options: Options) => void | Promise<void> } = {
  status: async (config) => answer(await fetchPage(config, '/status')),
  queue: async (config) => answer(await readQueue(config)),
  verify,
  replay,
  keygen,
  enrol,
  rotate,
};

async function main(args: readonly string[]): Promise<void> {
  let parsed;
  try {
    parsed = readOptions(args);
  } catch (cause) {
    throw invalid(`${describeError(cause)}\n${usage}`);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const [command = 'run', ...rest] = positionals;
  const known = ['schema', ...Object.keys(commands), ...Object.keys(ownerCommands)];
  if (rest.length > 0 || !['run', ...known].includes(command)) {
    throw invalid(`expected ${known.join(', ')} or nothing, got "${positionals.join(' ')}"\n${usage}`);
  }
  if (command === 'schema') {
    answer(configSchema());
    return;
  }
  if (Object.hasOwn(ownerCommands, command)) {
    answer(await ownerCommands[command]!(values, process.env, Math.floor(Date.now() / 1_000)));
    return;
  }
  const source = configSource(values.config);
  const config = source.check(source.read());
  if (values['check-config']) {
    answer({ config: 'ok', devices: config.devices.length + config.sensorSigned.length });
  } else if (command === 'run') {
    // The commands need no brokers, and are quicker without.
    const { runAgent } = await import('./run.ts');
    await runAgent(source);
  } else await commands[command]!(config, values);
}

main(process.argv.slice(2)).then(
  // The serial port's native handle may hold the process for a while after all is closed.
  () => process.exit(0),
  (error: unknown) => {
    const isOperating = error instanceof OperatingError;
    const message = isOperating || !(error instanceof Error) ? describeError(error) : error.stack;
    const code = isOperating ? error.code : 'bug';
    jsonLog(
      (line) => process.stderr.write(line),
      () => Date.now(),
    )('error', 'failed', { code, message });
    process.exit(1);
  },
);
