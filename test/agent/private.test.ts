/** Private channels of an agent: what leaves the gateway is for the parties; what happens on it goes on as ever. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import t from 'tap';
import {
  bytesToHex,
  channels,
  decodeEnvelope,
  decodePrivate,
  deriveHpkeKey,
  isPrivate,
  openEnvelope,
  openPrivate,
  type OpenEnvelope,
} from '@coldproof/wire';
import { parseConfig } from '@coldproof/agent/config';
import { amendWith } from '@coldproof/agent/config-remote';
import { Journal } from '@coldproof/agent/journal';
import { SqliteDatabase } from '@coldproof/agent/journal-sqlite';
import { privacyOf } from '@coldproof/agent/privacy';
import { rotateKey } from '@coldproof/agent/rotate';
import { sealReadings } from '@coldproof/agent/seal';
import * as fixture from './fixture.ts';

const { HandClock, makeKey, mustParse, startTruck, StubOracle, temporaryFolder, truckYaml, until } = fixture;
const { passphrase, sensorPassword, voyageStartSec } = fixture;

const sealer = fileURLToPath(new URL('private-sealer.js', import.meta.url));
const buyer = deriveHpkeKey(new Uint8Array(32).fill(1));
const carrier = deriveHpkeKey(new Uint8Array(32).fill(2));
const hex = (key: Uint8Array) => bytesToHex(key);

function privateYaml(key = hex(buyer.publicKey), more = ''): string {
  return `    private:
      - channels: [door]
        to:
          - { party: buyer, key: '${key}' }
          - { party: carrier, key: '${hex(carrier.publicKey)}' }
${more}`;
}

const terms = `    terms:
      orderId: '7'
      sampleGapSecMax: 150
      limits:
        - { channel: cargo-probe-1, lowerLimitCentiC: 200, upperLimitCentiC: 800, excursionSecMin: 900 }
`;

/** The truck's file with `more` for its device. */
function truck(more: string, stateDir = '/s', uplink = { oraclePort: 1, logPublicKey: buyer.publicKey }): string {
  const yaml = truckYaml(stateDir, uplink);
  return yaml.replace('    sealSamplesMax: 5\n', `    sealSamplesMax: 5\n${more}`);
}

function opened(bytes: Uint8Array): OpenEnvelope {
  const decoded = decodeEnvelope(bytes);
  const open = decoded.ok ? openEnvelope(decoded.value) : decoded;
  if (!open.ok) throw new Error(open.detail);
  return open.value;
}

/** What the buyer reads in a batch. */
function readBy(secretKey: Uint8Array, { leaves, batch }: OpenEnvelope) {
  return leaves.filter(isPrivate).flatMap((leaf) => {
    const inside = openPrivate(leaf, batch, secretKey);
    if (!inside.ok) throw new Error(inside.detail);
    return inside.value;
  });
}

t.test('--check-config: what may be private, to whom, and what the terms forbid', (t) => {
  const config = mustParse(truck(privateYaml() + terms));
  t.match(config.devices[0]!.private, [{ channels: [channels.door], to: [{ party: 'buyer' }, { party: 'carrier' }] }]);
  const at = 'devices[0].private[0]';
  const bad: [string, string, string][] = [
    [
      'channels: [door]',
      'channels: [ambient]',
      `${at}.channels[0]: expected a channel of one of sensors, got "ambient"`,
    ],
    ['channels: [door]', 'channels: [door, door]', `${at}.channels[1]: expected a channel that is not private already`],
    [
      'channels: [door]',
      'channels: [cargo-probe-1]',
      `${at}.channels[0]: expected a channel that the terms do not limit`,
    ],
    ['channels: [door]', 'channels: [readings-dropped]', `${at}.channels[0]: expected a channel, as supply-air`],
    ['channels: [door]', 'channels: []', `${at}.channels: expected a list of 1 to 16`],
    ['party: carrier', 'party: buyer', `${at}.to[1].party: expected a name that no other party of the list has`],
    [
      hex(carrier.publicKey),
      hex(buyer.publicKey),
      `${at}.to[1].key: expected a key that no other party of the list has`,
    ],
    [hex(buyer.publicKey), '00'.repeat(32), `${at}.to[0].key: expected 64 lower-case hex digits, in quotes: an X25519`],
    [hex(buyer.publicKey), 'ab', `${at}.to[0].key: expected 64 lower-case hex digits`],
    ['        to:', '        for: x\n        to:', `${at}.for: expected one of channels, to`],
  ];
  for (const [from, to, expected] of bad) {
    const answer = parseConfig(truck((privateYaml() + terms).replace(from, to)));
    t.ok(!answer.ok && answer.detail.includes(expected), answer.ok ? to : answer.detail);
  }
  const group = `      - { channels: [door], to: [{ party: x, key: '${hex(buyer.publicKey)}' }] }\n`;
  const twice = parseConfig(truck(privateYaml(undefined, group)));
  t.ok(!twice.ok && twice.detail.includes('devices[0].private[1].channels[0]: expected a channel that is not private'));
  const limit = { channel: 'cargo-probe-1', lowerLimitCentiC: 200, upperLimitCentiC: 800, excursionSecMin: 900 };
  const settings = JSON.stringify({ terms: { orderId: '7', sampleGapSecMax: 150, limits: [limit] } });
  const afar = amendWith(new Map([['TRUCK-7', { number: 1, settings }]]));
  const probe = truck(privateYaml().replace('door', 'cargo-probe-1'));
  t.ok(parseConfig(probe).ok, 'without terms a temperature may be private');
  const limited = parseConfig(probe, afar);
  t.ok(!limited.ok && limited.detail.includes('a channel that the terms do not limit'), 'nor by terms from afar');
  const large = truck(privateYaml()).replace('sealSamplesMax: 5', 'sealSamplesMax: 1440');
  t.ok(parseConfig(large).ok, 'two channels of a day fit');
  t.end();
});

t.test('agent/PRIVATE.md: its example is accepted as it stands', (t) => {
  const page = readFileSync(new URL('../../../agent/PRIVATE.md', import.meta.url), 'utf8');
  const [, block] = /^```yaml device\n([^]*?)^```$/m.exec(page) ?? [];
  const sensors = ['latitude', 'longitude'].map((each) => `      - { channel: ${each}, nmea: { line: gps } }\n`);
  const yaml = truck(block!.replaceAll(/^(?=.)/gm, '    '))
    .replace('    sensors:\n', `    sensors:\n${sensors.join('')}`)
    .replace('sensorBroker:', 'lines: [{ name: gps, path: /dev/ttyUSB3, protocol: nmea }]\nsensorBroker:');
  t.match(mustParse(yaml).devices[0]!.private, [{ channels: [128, 129], to: { length: 2 } }]);
  t.end();
});

t.test(
  'the oracle gets ciphertext, a party reads it; sensors, terms and local readers see what they always saw',
  async (t) => {
    const stateDir = temporaryFolder(t);
    const keyStore = makeKey(stateDir);
    const oracle = new StubOracle();
    oracle.trust(keyStore);
    await oracle.start();
    t.teardown(() => oracle.stop());
    const uplink = { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey };
    const clock = new HandClock();
    const { agent } = await startTruck(mustParse(truck(privateYaml() + terms, stateDir, uplink)), clock);
    t.teardown(() => agent.stop());
    const url = `mqtt://127.0.0.1:${agent.brokerPort}`;
    const sensor = await connectAsync(url, { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 });
    for (let minute = 0; minute < 10; minute++) {
      const bt = voyageStartSec + 60 * minute;
      clock.ms = bt * 1_000;
      const probe = { bn: 'TRUCK-7/', bt, n: 'cargo-probe-1', u: 'Cel', v: 9 + minute / 100 };
      await sensor.publishAsync('sensors/TRUCK-7', JSON.stringify([probe, { n: 'door', vb: minute > 3 }]), { qos: 1 });
    }
    await until(() => agent.status().devices[0]!.receipts === 2, 'two receipts');
    await sensor.endAsync();
    const [status] = agent.status().devices;
    t.match(status!.terms, { state: 'warning', channels: { 'cargo-probe-1': { state: 'warning', value: 9.09 } } });
    const chain = oracle.stored.get(hex(keyStore.device()))!;
    t.same(
      chain.map(({ series, privateChannels }) => [series.map(({ channel }) => channel), privateChannels]),
      Array(2).fill([[16], [channels.door]]),
    );
    for (const { secretKey } of [buyer, carrier]) {
      const doors = chain.flatMap((each) => readBy(secretKey, each)).flatMap(({ samples }) => samples);
      t.same(
        doors,
        Array.from({ length: 10 }, (_, i) => ({ timeSec: voyageStartSec + 60 * i, value: i > 3 ? 1 : 0 })),
      );
    }
    const commitments = chain.flatMap(({ leaves }) => leaves.filter(isPrivate)).map((leaf) => hex(leaf.commitment));
    t.equal(new Set(commitments).size, 2, 'each batch has a content key of its own');
  },
);

type Sealed = { readonly sequence: string; readonly leaves: readonly string[] };

/** Seals in a process of its own, which is then killed. */
async function sealAndKill(stateDir: string, ...more: string[]): Promise<Sealed> {
  const child = spawn(process.execPath, [sealer, stateDir, hex(buyer.publicKey), ...more]);
  let line = '';
  for await (const each of createInterface(child.stdout)) {
    line = each;
    child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const [sequence = '', ...leaves] = line.split(' ');
  return { sequence, leaves };
}

t.test('killed between seal and sign, twice: the same bytes; once appended, the secret is gone', async (t) => {
  const stateDir = temporaryFolder(t);
  const first = await sealAndKill(stateDir);
  t.equal(first.sequence, '0');
  t.same(await sealAndKill(stateDir), first);
  t.same(await sealAndKill(stateDir, 'append'), first);
  const journal = Journal.open(stateDir, () => new Uint8Array(32).fill(3));
  const device = new Uint8Array(32).fill(7);
  t.equal(journal.head(device).sequence, 1);
  t.same(journal.secrets.next(device), new Uint8Array(32).fill(3), 'the next one is drawn anew');
  journal.close();
  const kept = new SqliteDatabase(join(stateDir, 'journal.db'));
  t.equal(kept.prepare('SELECT length(secret) FROM heads').pluck().get(), 32);
  kept.close();
});

t.test('an old disk that comes back seals other readings with other keys', (t) => {
  const stateDir = temporaryFolder(t);
  const copy = temporaryFolder(t);
  const device = new Uint8Array(32).fill(7);
  const before = Journal.open(stateDir);
  before.adoptDevice(device);
  before.secrets.next(device);
  before.close();
  cpSync(stateDir, copy, { recursive: true });
  const config = { private: [{ channels: [6], to: [{ party: 'buyer', key: buyer.publicKey }] }] };
  const leaves = [stateDir, copy].map((folder, i) => {
    const journal = Journal.open(folder);
    const readings = [{ channel: 6, timeSec: 1_000, value: i, marks: 0, isClockTrusted: true }];
    const chain = { device, sequence: 0, previous: new Uint8Array(32) };
    const { series } = sealReadings(readings, chain, privacyOf(config, device, readings, journal));
    journal.close();
    const leaf = decodePrivate(series[0]!);
    if (!leaf.ok) throw new Error(leaf.detail);
    return leaf.value;
  });
  t.not(hex(leaves[0]!.commitment), hex(leaves[1]!.commitment), 'the content key is not used for two contents');
  t.not(hex(leaves[0]!.wraps[0]!.enc), hex(leaves[1]!.wraps[0]!.enc));
  t.end();
});

t.test('what the old key still has at a rotation is private as well', async (t) => {
  const stateDir = temporaryFolder(t);
  const id = makeKey(stateDir).device();
  const config = mustParse(truck(privateYaml(), stateDir));
  const journal = Journal.open(stateDir);
  t.teardown(() => journal.close());
  const reading = { channel: channels.door, timeSec: voyageStartSec, value: 1, marks: 0, isClockTrusted: true };
  journal.record([{ device: id, reading, state: { newestSec: voyageStartSec, marks: 0, lastValid: undefined } }]);
  const enrolment = { chainId: 1, registry: new Uint8Array(20), owner: new Uint8Array(20), asset: 'CSQU3054383' };
  const access = { passphrase, pins: new Map<string, string>(), isAttended: true };
  await rotateKey(config, config.devices[0]!, enrolment, { journal, access, nowSec: voyageStartSec });
  const [last] = journal.pending(id, 0, 9).map(({ bytes }) => opened(bytes));
  t.same([last!.series, last!.privateChannels], [[], [channels.door]]);
  t.match(readBy(carrier.secretKey, last!), [{ samples: [{ value: 1 }] }]);
});

t.test('a journal of version 2 is taken over', (t) => {
  const stateDir = temporaryFolder(t);
  Journal.open(stateDir).close();
  const database = new SqliteDatabase(join(stateDir, 'journal.db'));
  database.exec('ALTER TABLE heads DROP COLUMN secret; PRAGMA user_version = 2;');
  database.close();
  const journal = Journal.open(stateDir);
  const device = new Uint8Array(32).fill(7);
  journal.adoptDevice(device);
  t.equal(journal.secrets.next(device).length, 32);
  journal.close();
  t.end();
});
