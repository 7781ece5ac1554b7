/** WIRE.md's flag 0x0001: a sensor signs, the gateway carries, the oracle and the contract's mirror verify. */
import t, { type Test } from 'tap';
import { monotonicClock } from '@coldproof/agent/clock';
import { Journal } from '@coldproof/agent/journal';
import { judgeEnvelope, type Judging } from '@coldproof/agent/signed-sensor';
import type { RunningAgent } from '@coldproof/agent/agent';
import { openLink } from '@coldproof/firmware-sim/device-mqtt';
import { publicKeyOf, SigningDevice, simulatedKey } from '@coldproof/firmware-sim/device-signed';
import { Random } from '@coldproof/firmware-sim/random';
import { scenarios, voyageSec } from '@coldproof/firmware-sim/scenario';
import { readingsOf } from '@coldproof/firmware-sim/message';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { prove } from '@coldproof/oracle/prove';
import { verifyBatch } from '@coldproof/oracle/verify';
import {
  bytesToHex,
  cargoProbe,
  deviceOf,
  digestBatch,
  durationSecOf,
  encodeEnvelope,
  flags,
  locationOf,
  openEnvelope,
  walkRuns,
  type Envelope,
  type OpenEnvelope,
  type Run,
} from '@coldproof/wire';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { connectAsync, type MqttClient } from 'mqtt';
import {
  HandClock,
  mustParse,
  sensorPassword,
  startTruck,
  StubOracle,
  temporaryFolder,
  until,
  voyageStartSec,
} from './fixture.ts';

const probe = cargoProbe(1);
const topic = 'sensors/PROBE-1';

function yamlOf(stateDir: string, oracle: StubOracle, publicKey: Uint8Array): string {
  return `
stateDir: ${stateDir}
sensorSigned:
  - { name: PROBE-1, publicKey: '${bytesToHex(publicKey)}', topic: ${topic} }
sensorBroker:
  port: 0
  credentials:
    - { username: PROBE-1, passwordEnv: SENSOR_PASSWORD, topics: [sensors/+], reads: [PROBE-1] }
uplink:
  url: mqtt://127.0.0.1:${oracle.port}
  logPublicKey: '${bytesToHex(oracle.logKey.publicKey)}'
  resendSec: 1
  reconnectSecMax: 1
http: { port: 0 }
`;
}

type Gateway = { oracle: StubOracle; stateDir: string; agent: RunningAgent; connect(): Promise<MqttClient> };

async function setUp(t: Test, publicKey: Uint8Array, oracle = new StubOracle(), stateDir?: string): Promise<Gateway> {
  if (oracle.port === 0) {
    await oracle.start();
    t.teardown(() => oracle.stop());
  }
  const keyStore = {
    publicKey: () => publicKey,
    device: () => deviceOf(publicKey),
    sign: () => Promise.reject(new Error()),
  };
  oracle.trust(keyStore);
  const folder = stateDir ?? temporaryFolder(t);
  const { agent } = await startTruck(
    mustParse(yamlOf(folder, oracle, publicKey)),
    new HandClock(voyageStartSec + voyageSec),
  );
  t.teardown(() => agent.stop());
  const connect = async () => {
    const login = { username: 'PROBE-1', password: sensorPassword, reconnectPeriod: 0 };
    const client = await connectAsync(`mqtt://127.0.0.1:${agent.brokerPort}`, login);
    t.teardown(() => {
      client.end(true);
    });
    return client;
  };
  return { oracle, stateDir: folder, agent, connect };
}

/** A chain of envelopes, as firmware has it. */
function sealed(device: VoyageDevice, count: number, flagBits: number = flags.sensorSigned): Envelope[] {
  return Array.from({ length: count }, (_, i) =>
    device.seal([regularSeries(probe, voyageStartSec + i * 900, Array<number>(15).fill(400 + i))], flagBits),
  );
}

t.test('each refusal has its reason', (t) => {
  const device = new VoyageDevice(1);
  const [zero, one, two] = sealed(device, 3) as [Envelope, Envelope, Envelope];
  const digest = digestBatch(zero.batch);
  const { publicKey } = device;
  const terms: Judging = {
    publicKey,
    head: { sequence: 1, previous: digest, receipts: 0, dropped: 0, aliveSec: 0 },
    known: (sequence) => (sequence === 0 ? { digest, receipts: [] } : undefined),
    nowSec: voyageStartSec + voyageSec,
  };
  const judge = (envelope: Envelope, change: Partial<Judging> = {}) =>
    judgeEnvelope(encodeEnvelope(envelope), { ...terms, ...change });
  const again = new VoyageDevice(1);
  const otherZero = again.seal([regularSeries(probe, voyageStartSec, [900])], flags.sensorSigned);
  const otherOne = again.seal([regularSeries(probe, voyageStartSec + 900, [900])], flags.sensorSigned);
  const forged = new VoyageDevice(2).sign(zero.batch);
  const high = { ...one, signature: one.signature.map((byte, i) => (i < 32 ? byte : i === 32 ? 0xff : byte)) };
  const cases: readonly [string, ReturnType<typeof judge>, string][] = [
    ['over the size', judgeEnvelope(new Uint8Array(65_537), terms), 'envelope-too-large'],
    ['no CBOR', judgeEnvelope(new TextEncoder().encode('[{"n":"x","v":1}]'), terms), 'envelope-malformed'],
    ['nested deep', judgeEnvelope(new Uint8Array(60_000).fill(0x81), terms), 'envelope-malformed'],
    ['another device', judge(sealed(new VoyageDevice(2), 1)[0]!), 'envelope-of-another-device'],
    ['flag not set', judge(sealed(new VoyageDevice(1), 1, 0)[0]!), 'envelope-not-sensor-signed'],
    ['in the future', judge(one, { nowSec: voyageStartSec + 800 }), 'envelope-in-future'],
    ['a gap', judge(two), 'envelope-gap'],
    ['another past', judge(otherOne), 'envelope-previous-mismatch'],
    ['two stories', judge(otherZero), 'envelope-equivocation'],
    ['two stories, by somebody else', judge({ ...otherZero, signature: forged }), 'signature-invalid'],
    ['somebody else', judge({ ...one, signature: forged }), 'signature-invalid'],
    ['the upper twin', judge(high), 'signature-not-low-s'],
    ['series exchanged', judge({ ...one, series: zero.series }), 'root-mismatch'],
    [
      'too old to know',
      judge(zero, { head: { ...terms.head!, sequence: 9_999 }, known: () => undefined }),
      'envelope-forgotten',
    ],
  ];
  for (const [what, verdict, reason] of cases) t.equal(verdict.ok ? 'taken' : verdict.reason, reason, what);
  t.equal(judge(one).ok, true);
  t.equal(judge(one, { nowSec: undefined }).ok, true, 'a gateway with an unset clock judges no times');
  t.match(judge(zero), { ok: true, value: { repeated: { digest } } });
  t.equal(judge(two, { head: undefined }).ok, true, 'a sensor that had another gateway before');
  t.end();
});

t.test('PUBACK after the fsync, bytes untouched, hostile ones counted, receipts back, also after a kill', async (t) => {
  const device = new VoyageDevice(1);
  const oracle = new StubOracle();
  oracle.isAnswering = false;
  const gateway = await setUp(t, device.publicKey, oracle);
  const envelopes = sealed(device, 3);
  const encoded = envelopes.map((each) => encodeEnvelope(each));
  const sensor = await gateway.connect();
  const receipts: Buffer[] = [];
  sensor.on('message', (_topic, payload) => receipts.push(payload));
  await sensor.subscribeAsync('agent/PROBE-1/receipt', { qos: 1 });
  const send = (bytes: Uint8Array) => sensor.publishAsync(topic, Buffer.from(bytes), { qos: 1 });
  await send(encoded[0]!);
  await send(encoded[2]!);
  await send(encoded[0]!);
  await send(new TextEncoder().encode('[{"n":"PROBE-1/cargo-probe-1","v":4}]'));
  await send(encodeEnvelope(new VoyageDevice(1).seal([regularSeries(probe, voyageStartSec, [1])], flags.sensorSigned)));
  t.match(gateway.agent.status().refused, { 'envelope-gap': 1, 'envelope-malformed': 1, 'envelope-equivocation': 1 });
  t.match(gateway.agent.status().devices, [{ name: 'PROBE-1', provenance: 'sensor-signed', queued: 1, sealed: 1 }]);
  await send(encoded[1]!);
  // As a kill -9 leaves it: a second reader of the same file finds what was acknowledged.
  await gateway.agent.stop();
  const journal = Journal.open(gateway.stateDir);
  t.same(
    journal.unreleased(device.device, 0, 9).map(({ bytes }) => bytesToHex(bytes)),
    encoded.slice(0, 2).map(bytesToHex),
    'acknowledged, so on the disk, as it was signed',
  );
  journal.close();
  oracle.isAnswering = true;
  const restarted = await setUp(t, device.publicKey, oracle, gateway.stateDir);
  await until(() => oracle.stored.get(bytesToHex(device.device))?.length === 2, 'both at the oracle');
  await until(() => restarted.agent.status().devices[0]!.receipts === 2, 'receipts');
  const second = await restarted.connect();
  second.on('message', (_topic, payload) => receipts.push(payload));
  await second.subscribeAsync('agent/PROBE-1/receipt', { qos: 1 });
  t.equal(receipts.length, 0);
  await second.publishAsync(topic, Buffer.from(encoded[0]!), { qos: 1 });
  await until(() => receipts.length === 1, 'a repeat is answered with the receipt that is there');
  await second.publishAsync(topic, Buffer.from(encoded[2]!), { qos: 1 });
  await until(() => receipts.length === 2, 'the next one with its own');
  t.same(oracle.refused, []);
});

/** The device's samples of a whole voyage, as its firmware takes them. */
function sail(device: SigningDevice, voyage: { scenario: 'compressor-failure'; seed: number }): void {
  const sea = new Voyage(scenarios[voyage.scenario], voyage.seed);
  for (let atSec = 60; atSec <= voyageSec; atSec += 60) {
    device.sample(voyageStartSec + atSec, readingsOf(sea.sampleAt(atSec), false));
  }
}

t.test('an excursion that the sensor itself has signed, from its firmware to the evidence', async (t) => {
  const voyage = { scenario: 'compressor-failure', seed: 3, voyageStartSec } as const;
  const secretKey = simulatedKey(voyage);
  const publicKey = publicKeyOf(secretKey);
  const gateway = await setUp(t, publicKey);
  let lost = 0;
  // Every third message is lost between gateway and oracle the first time.
  gateway.oracle.admits = () => lost++ % 3 !== 0 || lost > 30;
  const radio = new AbortController();
  const url = `mqtt://127.0.0.1:${gateway.agent.brokerPort}`;
  const broker = { url, clientId: 'probe', username: 'PROBE-1', password: sensorPassword };
  const deps = {
    realClock: monotonicClock,
    random: Random.fromSeed(3),
    log: () => undefined,
    openLink: (signal: AbortSignal, session: object) => openLink({ ...broker, ...session }, signal),
  };
  const options = {
    ...{ secretKey, topic, receiptTopic: 'agent/PROBE-1/receipt', resendMs: 300 },
    logPublicKey: gateway.oracle.logKey.publicKey,
  };
  const device = new SigningDevice(deps, options);
  sail(device, voyage);
  t.equal(device.kept, voyageSec / 900);
  const running = device.run(radio.signal);
  await until(() => device.kept === 0, 'all forgotten, each on its receipt', 30_000);
  radio.abort();
  await running;
  const stored = gateway.oracle.stored.get(bytesToHex(deviceOf(publicKey)))!;
  t.equal(stored.length, voyageSec / 900);
  checkAtOracle(t, stored, publicKey);
  t.match(gateway.agent.status().refused, {}, 'nothing was turned away');
});

/** verify, evaluate and prove are the oracle's own; verifyEvidence inside of prove is the contract's mirror. */
function checkAtOracle(t: Test, stored: readonly OpenEnvelope[], publicKey: Uint8Array): void {
  const crypto = opensslCrypto();
  const device = deviceOf(publicKey);
  for (const { envelope } of stored) {
    const bytes = encodeEnvelope(envelope);
    const nowSec = voyageStartSec + voyageSec;
    if (!verifyBatch({ device, bytes, record: { publicKey }, nowSec }, crypto).ok) t.fail('verify');
    const opened = openEnvelope(envelope);
    if (!opened.ok || (opened.value.batch.flags & flags.sensorSigned) === 0) t.fail('flag');
  }
  const terms = {
    ...{ channel: probe, lowerLimitCentiC: 200, upperLimitCentiC: 800 },
    ...{ excursionSecMin: 900, sampleGapSecMax: 120 },
  };
  const limit = { terms, judgedFromSec: voyageStartSec } as Parameters<typeof prove>[1];
  let found: Run | undefined;
  let run: Run | null = null;
  for (const batch of stored) {
    for (const step of walkRuns(limit, run, batch)) {
      run = step.run;
      if (run !== null && durationSecOf(run) >= 900) found ??= run;
    }
  }
  const location = locationOf(found!);
  const batches = stored.slice(location.firstSequence, location.lastSequence + 1);
  const proof = prove('excursion', limit, [{ location, batches }], publicKey, crypto);
  t.match(proof, { ok: true, value: { method: 'reportExcursion', excursion: { durationSec: 900 } } });
  const flagBits = proof.ok ? proof.value.runs[0]!.batches.map(({ batch }) => batch.flags) : [];
  t.same([...new Set(flagBits)], [flags.sensorSigned], 'proved by what the sensor signed');
}
