/**
 * Sparkplug 3.0 from the host's side, each test named after the tck-ids of the specification that it is about. Payloads
 * are made by Eclipse Tahu's own encoder, and by the simulator's edge node.
 */
import sparkplug from 'sparkplug-payload';
import t from 'tap';
import { Refusals } from '@coldproof/agent/refusal';
import { isSparkplugCommand, parseSparkplugTopic } from '@coldproof/agent/sensors/sparkplug';
import { SparkplugHost } from '@coldproof/agent/sensors/sparkplug-host';
import { decodeSparkplug, sparkplugBytesMax } from '@coldproof/agent/sensors/sparkplug-payload';
import { EdgeNode, isRebirthRequest, type SparkplugMessage } from '@coldproof/firmware-sim/sparkplug';
import { seeded } from '../helpers/seed.ts';
import { mustParse, voyageStartSec } from './fixture.ts';

const { encodePayload } = sparkplug.get('spBv1.0')!;
type Payload = Parameters<typeof encodePayload>[0];
type Metric = NonNullable<Payload['metrics']>[number];

const { devices } = mustParse(`
stateDir: /s
passphraseEnv: P
devices:
  - name: TRUCK-7
    sensors:
      - { channel: cargo-probe-1, sparkplug: { group: Fleet, node: PLC, device: probes, metric: t1 } }
      - { channel: unit-alarm, sparkplug: { group: Fleet, node: PLC, device: probes, metric: alarm } }
      - { channel: door, sparkplug: { group: Fleet, node: PLC, metric: door, words: { open: 1, shut: 0 } } }
sensorBroker: { port: 0, credentials: [{ username: T, passwordEnv: P, topics: [spBv1.0/Fleet/+/PLC/#] }] }
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`);

function setUp() {
  const refusals = new Refusals(() => undefined);
  const host = new SparkplugHost('coldproof', devices, (reason, detail) => refusals.refuse(reason, detail));
  let nowSec = voyageStartSec;
  const take = (kind: string, payload: Payload | Uint8Array) => {
    const topic = `spBv1.0/Fleet/${kind}/PLC${kind.startsWith('D') ? '/probes' : ''}`;
    const taken = host.take(topic, payload instanceof Uint8Array ? payload : encodePayload(payload), nowSec * 1_000);
    return {
      values: taken?.samples.map(({ channel, raw }) => [channel, raw.timeSec - voyageStartSec, raw.value]),
      isRebirth: taken?.request !== undefined,
      request: taken?.request,
    };
  };
  const wait = (sec: number) => {
    nowSec += sec;
  };
  const counts = () => refusals.counts();
  return { host, take, wait, counts };
}

const timestamp = voyageStartSec * 1_000;
const bdSeq = (value: number): Metric => ({ name: 'bdSeq', type: 'Int64', value });
const rebirth: Metric = { name: 'Node Control/Rebirth', type: 'Boolean', value: false, timestamp };
const nbirth = (seq = 0, bd = 0): Payload => ({ timestamp, seq, metrics: [bdSeq(bd), rebirth] });
const dbirth = (seq = 1, atSec = 0): Payload => ({
  timestamp,
  seq,
  metrics: [
    { name: 't1', alias: 1, type: 'Float', value: 4.25, timestamp: timestamp + 1_000 * atSec },
    { name: 'other', alias: 2, type: 'Int32', value: 7, timestamp },
  ],
});
const ddata = (seq: number, atSec: number, value = 4.5, more: Partial<Metric> = {}): Payload => {
  const at = timestamp + 1_000 * atSec;
  return { timestamp: at, seq, metrics: [{ alias: 1, type: 'Float', value, timestamp: at, ...more }] };
};

t.test('tck-id-topic-structure', (t) => {
  t.same(parseSparkplugTopic('spBv1.0/G/DDATA/N/D'), { group: 'G', kind: 'DDATA', node: 'N', device: 'D' });
  t.same(parseSparkplugTopic('spBv1.0/G/NBIRTH/N'), { group: 'G', kind: 'NBIRTH', node: 'N' });
  const bad = ['spBv1.0/G/NBIRTH/N/D', 'spBv1.0/G/DDATA/N', 'spBv1.0/G/DDATA/N/', 'spBv1.0/G/DDATA/N/D/E'];
  bad.push('spAv1.0/G/NDATA/N', 'spBv1.0//NDATA/N', 'spBv1.0/G/NCMD/N', 'spBv1.0/G/XDATA/N', 'spBv1.0', '');
  for (const topic of bad) t.equal(parseSparkplugTopic(topic), undefined, topic);
  for (const topic of ['spBv1.0/G/NCMD/N', 'spBv1.0/G/DCMD/N/D', 'spBv1.0/STATE/h', 'spBv1.0/STATE']) {
    t.ok(isSparkplugCommand(topic), topic);
  }
  for (const topic of ['spBv1.0/G/NDATA/NCMD', 'spBv1.0/NCMD/DDATA/N/D', 'x/G/NCMD/N']) {
    t.notOk(isSparkplugCommand(topic), topic);
  }
  t.end();
});

t.test('tck-id-payloads-alias-data-cmd-requirement, -metric-datatype-not-req: births, then data by alias', (t) => {
  const { take, counts } = setUp();
  t.same(take('NBIRTH', nbirth()).values, []);
  t.same(take('DBIRTH', dbirth()).values, [[16, 0, Math.fround(4.25)]], 'a birth says the present value');
  t.same(take('DDATA', ddata(2, 60)).values, [[16, 60, 4.5]]);
  // Alias (2), timestamp (3), float (12) and no datatype (4): made by hand, as Tahu's encoder always sends one.
  const metric = Buffer.concat([Buffer.from('100118', 'hex'), varint(timestamp + 120_000), Buffer.from('65', 'hex')]);
  const float = Buffer.alloc(4);
  float.writeFloatLE(-18.5);
  const whole = Buffer.concat([metric, float]);
  const payload = Buffer.concat([Uint8Array.of(0x12, whole.length), whole, Uint8Array.of(0x18, 3)]);
  t.same(take('DDATA', payload).values, [[16, 120, -18.5]], 'the datatype is that of the birth');
  t.same(counts(), {});
  t.end();
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

t.test('tck-id-payloads-sequence-num-incrementing: 0 to 255 and 0 again; a gap asks for a rebirth', (t) => {
  const { take, counts } = setUp();
  take('NBIRTH', nbirth(250));
  take('DBIRTH', dbirth(251));
  for (let i = 0; i < 600; i++) t.same(take('DDATA', ddata((252 + i) % 256, 60 + i)).values, [[16, 60 + i, 4.5]]);
  const next = (252 + 600) % 256;
  const lost = take('DDATA', ddata((next + 1) % 256, 700));
  t.same([lost.values, lost.isRebirth], [[], true]);
  t.ok(isRebirthRequest(lost.request!.payload), 'tck-id-operational-behavior-data-commands-ncmd-rebirth-name, -value');
  t.match(lost.request, { topic: 'spBv1.0/Fleet/NCMD/PLC', retain: false });
  t.same(
    take('DDATA', ddata((next + 2) % 256, 701)),
    { values: [], isRebirth: false, request: undefined },
    'asked once',
  );
  take('NBIRTH', nbirth(7));
  take('DBIRTH', dbirth(8, 702));
  t.same(take('DDATA', ddata(9, 703)).values, [[16, 703, 4.5]], 'after the births all is well');
  t.same(counts(), { 'sparkplug-out-of-sequence': 1, 'sparkplug-unborn': 1 });
  t.end();
});

t.test(
  'tck-id-operational-behavior-host-reordering-rebirth: asked again when nobody answers, not at each message',
  (t) => {
    const { take, wait } = setUp();
    t.equal(take('DDATA', ddata(2, 0)).isRebirth, true, 'data of a node that was born before this host');
    t.equal(take('DDATA', ddata(3, 1)).isRebirth, false);
    wait(9);
    t.equal(take('DDATA', ddata(4, 2)).isRebirth, false);
    wait(1);
    t.equal(take('DDATA', ddata(5, 3)).isRebirth, true);
    wait(-3_600);
    t.equal(take('DDATA', ddata(6, 4)).isRebirth, true, 'a clock that was set back does not silence it');
    t.end();
  },
);

t.test('tck-id-payloads-nbirth-seq, -bdseq, -alias-uniqueness, -metric-datatype-req: births that are none', (t) => {
  const rows: readonly [string, Payload][] = [
    ['NBIRTH without seq', { timestamp, metrics: [bdSeq(0)] }],
    ['NBIRTH with seq 256', nbirth(256)],
    ['NBIRTH without bdSeq', { timestamp, seq: 0, metrics: [rebirth] }],
    ['NBIRTH with bdSeq 256', nbirth(0, 256)],
    ['NBIRTH with bdSeq -1', nbirth(0, -1)],
  ];
  for (const [what, payload] of rows) {
    const { take, counts } = setUp();
    take('NBIRTH', payload);
    t.same(counts(), { 'sparkplug-malformed': 1 }, what);
    t.equal(take('DBIRTH', dbirth()).isRebirth, true, 'and the node is not online');
  }
  const twice = setUp();
  twice.take('NBIRTH', nbirth());
  const metrics: Metric[] = ['t1', 'x'].map((name) => ({ name, alias: 1, type: 'Float', value: 1, timestamp }));
  t.same(twice.take('DBIRTH', { timestamp, seq: 1, metrics }).values, [], 'an alias for two metrics');
  t.same(twice.counts(), { 'sparkplug-malformed': 1 });
  t.equal(twice.take('DDATA', ddata(2, 1)).isRebirth, true);
  t.end();
});

t.test('tck-id-payloads-ndeath-bdseq: only the death of this session ends it', (t) => {
  const { take, counts } = setUp();
  take('NBIRTH', nbirth(0, 5));
  take('DBIRTH', dbirth());
  take('NDEATH', { timestamp, metrics: [bdSeq(4)] });
  t.same(take('DDATA', ddata(2, 60)).values, [[16, 60, 4.5]], 'the will of the connection before changes nothing');
  take('NDEATH', { timestamp, metrics: [bdSeq(5)] });
  const dead = take('DDATA', ddata(3, 61));
  t.same([dead.values, dead.isRebirth], [[], true]);
  t.match(counts(), { 'sparkplug-death-stale': 1 });
  t.end();
});

t.test('tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline', (t) => {
  const { take, counts } = setUp();
  take('NBIRTH', nbirth());
  take('DBIRTH', dbirth());
  t.same(take('DDEATH', { timestamp, seq: 2 }).values, [], 'a death is no measurement');
  const late = take('DDATA', ddata(3, 60));
  t.same([late.values, late.isRebirth], [[], true]);
  t.same(counts(), { 'sparkplug-unborn': 1 });
  t.end();
});

t.test('is_historical: stored values keep their own times, and come before those of now', (t) => {
  const { take, counts } = setUp();
  take('NBIRTH', nbirth());
  take('DBIRTH', dbirth());
  const of = (atSec: number, more: Partial<Metric> = {}): Metric => ({
    alias: 1,
    type: 'Float',
    value: atSec,
    timestamp: timestamp + atSec * 1_000,
    ...more,
  });
  const stored = [of(180), of(120, { isHistorical: true }), of(60, { isHistorical: true })];
  t.same(take('DDATA', { timestamp: timestamp + 180_000, seq: 2, metrics: stored }).values, [
    [16, 60, 60],
    [16, 120, 120],
    [16, 180, 180],
  ]);
  const timeless: Metric = { alias: 1, type: 'Float', value: 1, isHistorical: true };
  const answer = take('DDATA', { timestamp, seq: 3, metrics: [timeless] });
  t.same(answer.values, [], 'the message is not as old as its value');
  t.same(take('DDATA', { timestamp, seq: 4, metrics: [{ alias: 1, type: 'Float', value: 3 }] }).values, [[16, 0, 3]]);
  t.same(counts(), { 'sparkplug-value-malformed': 1 });
  t.end();
});

t.test('values: null, NaN, bad and stale quality, integers of each width, types that differ from the birth', (t) => {
  const quality = (value: number): Partial<Metric> => ({ properties: { Quality: { type: 'Int32', value } } });
  const { take, counts } = setUp();
  take('NBIRTH', nbirth());
  take('DBIRTH', dbirth());
  let seq = 1;
  const say = (metric: Partial<Metric>) =>
    take('DDATA', ddata(++seq, 1, 4.5, metric)).values?.map(([, , value]) => value);
  t.same(say({ isNull: true, value: null }), [undefined], 'null is a sensor without a value');
  t.same(say({ value: Number.NaN }), [Number.NaN]);
  t.same(say(quality(192)), [4.5]);
  t.same(say(quality(0)), [undefined]);
  t.same(say(quality(500)), [], 'stale is what was measured before');
  t.same(say({ type: 'Int32', value: 4 }), [], 'an integer where a float was born');
  t.same(counts(), { 'sparkplug-value-malformed': 1 });
  const rows: readonly [Metric['type'], Metric['value'], number | boolean][] = [
    ['Int8', -7, -7],
    ['Int8', 0xf9, -7],
    ['Int16', -300, -300],
    ['Int32', -70_000, -70_000],
    ['Int64', -5, -5],
    ['UInt8', 200, 200],
    ['UInt32', 4e9, 4e9],
    ['Boolean', true, true],
    ['Double', 4.3, 4.3],
    ['String', '12', 12],
  ];
  for (const [type, value, expected] of rows) {
    const metrics: Metric[] = [{ name: 'alarm', alias: 9, type, value, timestamp }];
    const { take } = setUp();
    take('NBIRTH', nbirth());
    t.same(take('DBIRTH', { timestamp, seq: 1, metrics }).values, [[9, 0, expected]], `${type} ${String(expected)}`);
  }
  const door: Metric = { name: 'door', type: 'String', value: 'open', timestamp };
  t.same(setUp().take('NBIRTH', { timestamp, seq: 0, metrics: [bdSeq(0), door] }).values, [[6, 0, 1]], 'a word');
  t.end();
});

t.test("the simulator's edge node: reconnects, rebirths and lost messages, over a seeded voyage", (t) => {
  const random = seeded(t, 30);
  const { host } = setUp();
  const edge = new EdgeNode({ group: 'Fleet', node: 'PLC', device: 'probes' });
  const taken: number[][] = [];
  let isRebirthAsked = false;
  let lost = 0;
  const hear = ({ topic, payload }: SparkplugMessage, atSec: number): boolean => {
    if (random.next() < 0.03) {
      lost += 1;
      return false;
    }
    const outcome = host.take(topic, payload, (voyageStartSec + atSec) * 1_000)!;
    for (const { raw } of outcome.samples)
      taken.push([raw.timeSec - voyageStartSec, Math.round(Number(raw.value) * 100)]);
    return outcome.request !== undefined;
  };
  for (let atSec = 60; atSec <= 60 * 3_000; atSec += 60) {
    const readings = [{ name: 't1', centiC: (atSec / 60) % 5_000 }];
    const isNew = atSec === 60 || random.next() < 0.01;
    if (isNew) edge.nextWill(atSec * 1_000);
    if (isNew || isRebirthAsked) {
      const births = edge.births(voyageStartSec + atSec, readings);
      isRebirthAsked = births.map((message) => hear(message, atSec)).includes(true);
    } else isRebirthAsked = hear(edge.sample(voyageStartSec + atSec, readings, false), atSec);
  }
  t.ok(taken.length > 3_000 - 4 * lost, `${taken.length} of 3000 taken, ${lost} messages lost`);
  t.ok(lost > 50);
  for (const [atSec, centiC] of taken)
    if ((atSec! / 60) % 5_000 !== centiC) t.fail(`${String(atSec)}: ${String(centiC)}`);
  t.end();
});

t.test('bytes that are no payload end in a verdict', (t) => {
  const random = seeded(t, 31);
  const good = encodePayload(dbirth());
  const counts = { taken: 0, refused: 0 };
  for (let round = 0; round < 5_000; round++) {
    const damaged = Uint8Array.from(good);
    damaged[random.integer(0, damaged.length - 1)] = random.integer(0, 255);
    const bytes = round % 3 === 0 ? random.bytes(random.integer(0, 60)) : damaged;
    counts[decodeSparkplug(bytes).ok ? 'taken' : 'refused'] += 1;
  }
  t.ok(counts.refused > 1_000, JSON.stringify(counts));
  t.match(decodeSparkplug(new Uint8Array(sparkplugBytesMax + 1)), { ok: false, reason: 'sparkplug-malformed' });
  // Templates inside templates, as deep as the size allows.
  let nested = Buffer.alloc(0);
  while (nested.length < 60_000) {
    const template = Buffer.concat([Uint8Array.of(0x12), varint(nested.length), nested]);
    nested = Buffer.concat([Uint8Array.of(0x9a, 0x01), varint(template.length), template]);
  }
  const bomb = Buffer.concat([Uint8Array.of(0x12), varint(nested.length), nested]);
  t.doesNotThrow(() => decodeSparkplug(bomb));
  t.end();
});

t.test('who may listen, and leave a will', (t) => {
  const { host } = setUp();
  const allowed = ['spBv1.0/Fleet/+/PLC/#'];
  for (const filter of ['spBv1.0/Fleet/NCMD/PLC', 'spBv1.0/Fleet/NCMD/PLC/#', 'spBv1.0/Fleet/DCMD/PLC/probes']) {
    t.ok(host.allowsSubscription(filter, allowed), filter);
    t.notOk(host.allowsSubscription(filter, ['sensors/TRUCK-7']), `${filter} of another`);
  }
  t.ok(host.allowsSubscription('spBv1.0/STATE/coldproof', allowed));
  for (const filter of ['#', 'spBv1.0/#', 'spBv1.0/Fleet/NCMD/+', 'spBv1.0/Fleet/DDATA/PLC/#', 'spBv1.0/STATE/+']) {
    t.notOk(host.allowsSubscription(filter, allowed), filter);
  }
  t.ok(host.allowsWill('spBv1.0/Fleet/NDEATH/PLC', false), 'tck-id-payloads-ndeath-will-message');
  t.notOk(host.allowsWill('spBv1.0/Fleet/NDEATH/PLC', true), 'tck-id-payloads-ndeath-will-message-retain');
  t.notOk(host.allowsWill('spBv1.0/Fleet/NDEATH/OTHER', false));
  t.notOk(host.allowsWill('spBv1.0/Fleet/NDATA/PLC', false));
  t.end();
});
