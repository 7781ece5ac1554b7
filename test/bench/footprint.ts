/**
 * What the agent takes of a gateway: the real process, started as in the field, with sensors at its own MQTT broker, a
 * mosquitto for its uplink and an oracle behind it. And what a reading takes of the road, beside unsigned formats.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import proto from 'sparkplug-payload/lib/sparkplugPayloadProto.js';
import { bytesToHex, formatTopic, parseTopic, topicFilter } from '@coldproof/wire';
import { deflateEnvelope } from '@coldproof/agent/deflate';
import { readPublicKey } from '@coldproof/agent/key-file';
import { makeKey, sensorPassword, StubOracle } from '../agent/fixture.ts';
import { command, environment, main, type Line } from '../agent/process.ts';
import { readUnit } from '../agent/unit.ts';
import { Mosquitto } from '../helpers/mosquitto.ts';

/** Of 20 channels each. */
const devices = 50;
const warmUpSec = 10;
const measuredSec = Number(process.env['FOOTPRINT_SEC'] ?? 30);
const coldStarts = Number(process.env['FOOTPRINT_STARTS'] ?? 5);
/** One batch of four channels. */
const samples = 15;
const few = ['cargo-probe-1', 'cargo-probe-2', 'cargo-probe-3', 'cargo-probe-4'];

export type Footprint = {
  /** Of the agent's process, with 1,000 channels that report each second in messages of 20. */
  readonly thousandChannels: { readonly rssMb: number; readonly rssMbMax: number; readonly ofOneCore: number };
  /** From the start of the process to the line that says that a batch is sealed, the least of some starts. */
  readonly coldStartMs: number;
  /** For each reading of one batch of 15 samples of 4 channels; a payload without its MQTT packet, and with it. */
  readonly bytesPerReading: { readonly [format: string]: { readonly payload: number; readonly packet: number } };
};

export async function measureFootprint(): Promise<Footprint> {
  const endings: (() => unknown)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-footprint-'));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const broker = await Mosquitto.start({ teardown: (ending: () => unknown) => endings.push(ending) });
    const oracle = await Oracle.start(broker.port);
    endings.push(() => oracle.stop());
    const cold = await measureColdStarts(folder, oracle);
    const thousandChannels = await measureLoad(join(folder, 'load'), oracle);
    return { thousandChannels, coldStartMs: cold.leastMs, bytesPerReading: sizes(cold.envelope, cold.startSec) };
  } finally {
    for (const ending of endings.reverse()) await ending();
  }
}

/** Behind the broker: gives a receipt for whatever is in order. */
class Oracle {
  readonly port: number;
  readonly stub = new StubOracle();
  readonly #client: MqttClient;
  /** The newest. */
  envelope = new Uint8Array();

  private constructor(port: number, client: MqttClient) {
    this.port = port;
    this.#client = client;
    client.on('message', (topic, payload) => {
      const device = parseTopic(topic)?.device;
      if (device === undefined) return;
      this.envelope = new Uint8Array(payload);
      const receipt = this.stub.answer(device, this.envelope);
      if (receipt !== undefined) client.publish(formatTopic(device, 'receipt'), Buffer.from(receipt));
    });
  }

  static async start(port: number): Promise<Oracle> {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
    const oracle = new Oracle(port, client);
    await client.subscribeAsync(topicFilter('batch'), { qos: 0 });
    return oracle;
  }

  stop(): Promise<void> {
    return this.#client.endAsync();
  }
}

type Setting = { readonly devices: number; readonly channels: readonly string[]; readonly oracle: Oracle };

function yamlOf(stateDir: string, { devices, channels, oracle }: Setting): string {
  const blocks = Array.from({ length: devices }, (_, device) => {
    const sensors = channels.map(
      (channel) => `      - { channel: ${channel}, mqtt: { topic: sensors/${device}, name: ${channel} } }`,
    );
    return `  - name: ZONE-${device}\n    sealSamplesMax: ${samples}\n    sensors:\n${sensors.join('\n')}`;
  });
  return `
stateDir: ${stateDir}
passphraseEnv: COLDPROOF_PASSPHRASE
devices:
${blocks.join('\n')}
sensorBroker:
  port: 0
  credentials:
    - { username: sensors, passwordEnv: SENSOR_PASSWORD, topics: ['sensors/+'] }
uplink:
  url: mqtt://127.0.0.1:${oracle.port}
  logPublicKey: '${bytesToHex(oracle.stub.logKey.publicKey)}'
http: { port: 0 }
`;
}

/** `main.js --config`, and its log. */
class AgentProcess {
  readonly child;
  #last = '';
  readonly #waiting: { readonly event: string; readonly resolve: (line: Line) => void }[] = [];

  constructor(file: string) {
    const { flags, variables } = readUnit();
    this.child = spawn(process.execPath, [...process.execArgv, ...flags, main, '--config', file], {
      env: { ...environment, ...variables },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    createInterface({ input: this.child.stderr }).on('line', (text) => {
      this.#last = text;
      const line = JSON.parse(text) as Line;
      const at = this.#waiting.findIndex(({ event }) => event === line.event);
      if (at !== -1) this.#waiting.splice(at, 1)[0]!.resolve(line);
    });
  }

  next(event: string): Promise<Line> {
    const ended = once(this.child, 'exit').then(() => {
      throw new Error(`the agent ended before "${event}": ${this.#last}`);
    });
    ended.catch(() => undefined);
    return Promise.race([new Promise<Line>((resolve) => this.#waiting.push({ event, resolve })), ended]);
  }

  async sensors(): Promise<MqttClient> {
    const { brokerPort } = await this.next('started');
    const login = { username: 'sensors', password: sensorPassword };
    return connectAsync(`mqtt://127.0.0.1:${Number(brokerPort)}`, login);
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }
}

/** RFC 8428: one record of each channel. */
function packOf(channels: readonly string[], timeSec: number, step: number) {
  return channels.map((channel, i) => ({ n: channel, t: timeSec, v: Math.round(100 * (4 + i) + step) / 100 }));
}

async function measureColdStarts(folder: string, oracle: Oracle) {
  const startSec = Math.floor(Date.now() / 1_000) - 86_400;
  let leastMs = Infinity;
  for (let run = 0; run < coldStarts; run++) {
    const stateDir = join(folder, `cold-${run}`);
    const file = join(folder, `cold-${run}.yaml`);
    writeFileSync(file, yamlOf(stateDir, { devices: 1, channels: few, oracle }));
    // With the passphrase's full price, as in the field.
    const made = command('keygen', '--config', file);
    if (made.status !== 0) throw new Error(made.err);
    oracle.stub.trust({ publicKey: () => readPublicKey(join(stateDir, 'keys', 'ZONE-0.json')) });
    const startedMs = performance.now();
    const agent = new AgentProcess(file);
    const sealed = agent.next('sealed').then(() => performance.now() - startedMs);
    const sensors = await agent.sensors();
    for (let i = 0; i < samples; i++) {
      await sensors.publishAsync('sensors/0', JSON.stringify(packOf(few, startSec + 60 * i, i)), { qos: 1 });
    }
    leastMs = Math.min(leastMs, Math.round(await sealed));
    await agent.next('receipt');
    await sensors.endAsync();
    await agent.stop();
  }
  return { leastMs, envelope: oracle.envelope, startSec };
}

async function measureLoad(stateDir: string, oracle: Oracle): Promise<Footprint['thousandChannels']> {
  const probes = Array.from({ length: 16 }, (_, i) => `cargo-probe-${i + 1}`);
  const channels = ['supply-air', 'return-air', 'setpoint', 'ambient', ...probes];
  for (let device = 0; device < devices; device++) oracle.stub.trust(makeKey(stateDir, `ZONE-${device}`));
  const file = `${stateDir}.yaml`;
  writeFileSync(file, yamlOf(stateDir, { devices: devices, channels, oracle }));
  const agent = new AgentProcess(file);
  const sensors = await agent.sensors();
  const pid = agent.child.pid!;
  let before = { cpuSec: 0, atMs: 0 };
  const rssMb: number[] = [];
  const beganMs = performance.now();
  for (let second = 0; second < warmUpSec + measuredSec; second++) {
    if (second === warmUpSec) before = { cpuSec: cpuSec(pid), atMs: performance.now() };
    const timeSec = Math.floor(Date.now() / 1_000);
    // Spread over the second, as sensors are.
    for (let device = 0; device < devices; device++) {
      sensors.publish(`sensors/${device}`, JSON.stringify(packOf(channels, timeSec, second % 50)), { qos: 1 });
      await delay(beganMs + 1_000 * (second + (device + 1) / devices) - performance.now());
    }
    if (second >= warmUpSec) rssMb.push(memoryMb(pid, 'VmRSS'));
  }
  const share = (cpuSec(pid) - before.cpuSec) / ((performance.now() - before.atMs) / 1_000);
  const result = {
    rssMb: Math.max(...rssMb),
    rssMbMax: memoryMb(pid, 'VmHWM'),
    ofOneCore: Math.round(share * 1_000) / 1_000,
  };
  await sensors.endAsync();
  await agent.stop();
  return result;
}

/** proc(5); in units of 10 ms. */
function cpuSec(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function memoryMb(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const kib = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  return Math.round((Number(kib) * 1_024) / 1e6);
}

/** Of the readings that the cold starts have sent. */
function sizes(envelope: Uint8Array, startSec: number): Footprint['bytesPerReading'] {
  const packs = Array.from({ length: samples }, (_, i) => packOf(few, startSec + 60 * i, i));
  // RFC 8428 §4.1: base values save what is the same.
  const senml = few.map((channel, c) =>
    packs.map((pack, i) => ({
      ...(i === 0 ? { bn: channel, bt: startSec, bu: 'Cel' } : { t: 60 * i }),
      v: pack[c]!.v,
    })),
  );
  const { Payload } = proto.org.eclipse.tahu.protobuf;
  // Sparkplug 3.0 §6.4: DATA by alias, each value with its own time; 9 is Float.
  const metrics = packs.flatMap((pack, i) =>
    pack.map(({ v }, c) => ({ alias: c + 1, timestamp: 1_000 * (startSec + 60 * i), datatype: 9, floatValue: v })),
  );
  const sparkplug = Payload.encode(Payload.create({ timestamp: 1_000 * startSec, seq: 1, metrics })).finish();
  const batchTopic = formatTopic(new Uint8Array(32), 'batch');
  return {
    coldproofSigned: perReading(envelope.length, batchTopic),
    coldproofSignedDeflated: perReading(deflateEnvelope(envelope).length, batchTopic),
    senmlJson: perReading(JSON.stringify(senml.flat()).length, 'sensors/TRUCK-7'),
    sparkplugB: perReading(sparkplug.length, 'spBv1.0/fleet/DDATA/gateway-1/TRUCK-7'),
  };
}

/** MQTT 3.1.1 §3.3: type and length, topic, packet identifier, payload. */
function perReading(payload: number, topic: string): { payload: number; packet: number } {
  const rest = 2 + topic.length + 2 + payload;
  const packet = 1 + (rest < 128 ? 1 : 2) + rest;
  const readings = samples * few.length;
  const round = (bytes: number) => Math.round((100 * bytes) / readings) / 100;
  return { payload: round(payload), packet: round(packet) };
}
