/** Plain JSON by mapping: RFC 6901's own examples, MQTT's own examples of filters, values and times in many words. */
import t from 'tap';
import { utf8ToBytes } from '@coldproof/wire';
import { Refusals } from '@coldproof/agent/refusal';
import { parsePointer, valueAt } from '@coldproof/agent/sensors/json-pointer';
import { coversTopic, topicFilterPattern, topicsOverlap } from '@coldproof/agent/sensors/topic-filter';
import { TopicRoutes } from '@coldproof/agent/sensors/topic-route';
import { jsonBytesMax, mapJson, readTime, readValue, type JsonMapping } from '@coldproof/agent/sensors/value-mapping';
import { encodeMessage, readingsOf, type MessageFormat } from '@coldproof/firmware-sim/message';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { mustParse, voyageStartSec } from './fixture.ts';

t.test('RFC 6901 section 5: the pointers of its example', (t) => {
  const text = '{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8}';
  const document: unknown = JSON.parse(text);
  const rows: readonly [pointer: string, expected: unknown][] = [
    ['', document],
    ['/foo', ['bar', 'baz']],
    ['/foo/0', 'bar'],
    ['/', 0],
    ['/a~1b', 1],
    ['/c%d', 2],
    ['/e^f', 3],
    ['/g|h', 4],
    ['/i\\j', 5],
    ['/k"l', 6],
    ['/ ', 7],
    ['/m~0n', 8],
    ['/foo/2', undefined],
    ['/foo/-', undefined],
    ['/foo/00', undefined],
    ['/foo/length', undefined],
    ['/foo/0/0', undefined],
    ['/toString', undefined],
    ['/__proto__', undefined],
  ];
  for (const [pointer, expected] of rows) t.same(valueAt(document, parsePointer(pointer)!), expected, pointer);
  t.equal(valueAt(JSON.parse('{"__proto__":4}'), ['__proto__']), 4, 'a member of that name is a member');
  for (const wrong of ['foo', '/a~', '/~2', '#/foo']) t.equal(parsePointer(wrong), undefined, wrong);
  t.same(parsePointer('/~01'), ['~1']);
  t.end();
});

t.test('MQTT 3.1.1 section 4.7: filters', (t) => {
  const rows: readonly [filter: string, topic: string, expected: boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', 'a/b', true],
    ['ACCOUNTS', 'Accounts', false],
    ['a/+/#', 'a/+/c', true],
    ['a/b', 'a/+', false],
    ['a/+', 'a/#', false],
    ['a/#', 'a/+/#', true],
  ];
  for (const [filter, topic, expected] of rows) t.equal(coversTopic(filter, topic), expected, `${filter} ${topic}`);
  for (const good of ['#', '+', '+/tennis/#', 'sport/+/player1', '/', 'a']) t.match(good, topicFilterPattern, good);
  for (const bad of [
    '',
    'sport/tennis#',
    'sport/tennis/#/ranking',
    'sport+',
    '$SYS/#',
    'a\0',
    'agent/x',
    'x'.repeat(257),
  ]) {
    t.notMatch(bad, topicFilterPattern, bad);
  }
  const filters = ['#', 'a', 'a/#', 'a/+', '+/b', 'a/b/c', '+/+/c', 'b/#'];
  const topics = ['a', 'b', 'a/b', 'a/c', 'c/b', 'b/b', 'a/b/c', 'b/b/c', 'a/'];
  for (const one of filters) {
    for (const other of filters) {
      const expected = topics.some((topic) => coversTopic(one, topic) && coversTopic(other, topic));
      t.equal(topicsOverlap(one, other), expected, `${one} and ${other}`);
    }
  }
  t.end();
});

const plain: JsonMapping = {
  value: ['v'],
  time: undefined,
  timeFormat: 'unix-sec',
  scale: 1,
  offset: 0,
  words: new Map(),
};

t.test('values: numbers, numbers as text, words, booleans; the rest is no value', (t) => {
  const door = { ...plain, words: new Map(Object.entries({ open: 1, closed: 0, true: 0, false: 1 })) };
  const rows: readonly [mapping: JsonMapping, said: unknown, expected: number | boolean | undefined][] = [
    [plain, 4.25, 4.25],
    [plain, '4.25', 4.25],
    [plain, ' -40 ', -40],
    [plain, '1e1', 10],
    [{ ...plain, scale: 0.5, offset: -10 }, 100, 40],
    [plain, true, true],
    [door, 'open', 1],
    [door, true, 0],
    [{ ...door, scale: 100 }, 'open', 1],
    [door, 'ajar', undefined],
    [plain, '', undefined],
    [plain, '0x10', undefined],
    [plain, '4,25', undefined],
    [plain, '4.25 C', undefined],
    [plain, 'NaN', undefined],
    [plain, 'Infinity', undefined],
    [plain, null, undefined],
  ];
  for (const [mapping, said, expected] of rows) t.equal(readValue(said, mapping), expected, JSON.stringify(said));
  t.end();
});

t.test('times, and where there is none', (t) => {
  const rows: readonly [said: unknown, format: Parameters<typeof readTime>[1], expected: number | undefined][] = [
    [voyageStartSec, 'unix-sec', voyageStartSec],
    [String(voyageStartSec), 'unix-sec', voyageStartSec],
    [voyageStartSec * 1_000 + 500, 'unix-ms', voyageStartSec + 0.5],
    ['2026-01-01T00:00:00Z', 'rfc3339', voyageStartSec],
    ['2026-01-01 01:00:00.250+01:00', 'rfc3339', voyageStartSec + 0.25],
    ['2026-01-01t00:00:00z', 'rfc3339', voyageStartSec],
    ['2026-01-01T00:00:00', 'rfc3339', undefined],
    ['2026-13-01T00:00:00Z', 'rfc3339', undefined],
    ['yesterday', 'rfc3339', undefined],
    [voyageStartSec, 'rfc3339', undefined],
    [null, 'unix-sec', undefined],
    ['soon', 'unix-ms', undefined],
    [undefined, 'unix-sec', undefined],
  ];
  for (const [said, format, expected] of rows) t.equal(readTime(said, format), expected, String(said));
  const timed = { ...plain, time: ['t'] };
  t.same(mapJson({ v: 4 }, plain, 77), { ok: true, value: { timeSec: 77, value: 4 } }, 'arrival');
  t.match(mapJson({ v: 4, t: 78 }, timed, 77), { ok: true, value: { timeSec: 78 } });
  t.match(mapJson({ v: 4 }, timed, 77), { ok: false, reason: 'time-malformed' }, 'never the arrival in its place');
  t.match(mapJson({ w: 4 }, timed, 77), { ok: true, value: undefined }, 'a message about something else');
  t.match(mapJson({ v: [4] }, plain, 77), { ok: false, reason: 'json-value-malformed' });
  t.end();
});

const yaml = `
stateDir: /s
passphraseEnv: P
devices:
  - name: TRUCK-7
    sensors:
      - { channel: cargo-probe-1, mqtt: { topic: senml, name: TRUCK-7/cargo-probe-1 } }
      - { channel: door, mqtt: { topic: senml, name: TRUCK-7/door } }
      - channel: cargo-probe-2
        mqtt: { topic: json/+/probe, value: /cargo-probe-1, time: /ts, timeFormat: unix-ms }
      - channel: unit-mode
        mqtt: { topic: json/#, value: /door, time: /ts, timeFormat: unix-ms, words: { open: 1, closed: 0 } }
sensorBroker: { port: 0, credentials: [{ username: T, passwordEnv: P, topics: ['#'] }] }
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`;

t.test("the simulator's three formats come to the same samples, for every minute of a voyage", (t) => {
  const refusals = new Refusals(() => undefined);
  const routes = new TopicRoutes(mustParse(yaml).devices, (reason, detail) => refusals.refuse(reason, detail));
  const voyage = new Voyage(scenarios['door-left-open'], 3);
  const decode = (format: MessageFormat, topic: string, atSec: number) => {
    const readings = readingsOf(voyage.sampleAt(atSec), true);
    const bytes = encodeMessage({ format, truck: 'TRUCK-7' }, voyageStartSec + atSec, readings);
    const samples = routes.decode(topic, bytes, 0)!;
    return samples.map(({ raw }) => [raw.timeSec, Number(raw.value)]);
  };
  for (let atSec = 60; atSec <= 28_800; atSec += 60) {
    const expected = decode('senml-json', 'senml', atSec);
    t.equal(expected.length, 2);
    t.same(decode('senml-cbor', 'senml', atSec), expected);
    t.same(decode('json', 'json/7/probe', atSec), expected);
  }
  t.same(refusals.counts(), {});
  t.end();
});

t.test('hostile messages are counted by reason', (t) => {
  const refusals = new Refusals(() => undefined);
  const routes = new TopicRoutes(mustParse(yaml).devices, (reason, detail) => refusals.refuse(reason, detail));
  const rows: readonly [payload: string, reason: string][] = [
    ['', 'json-malformed'],
    ['{"cargo-probe-1":4', 'json-malformed'],
    [' '.repeat(jsonBytesMax + 1), 'json-too-large'],
    ['['.repeat(jsonBytesMax), 'json-malformed'],
    ['{}', 'sensor-unknown'],
    ['4', 'sensor-unknown'],
    ['null', 'sensor-unknown'],
    [`{"cargo-probe-1":{"a":1},"ts":${voyageStartSec}000}`, 'json-value-malformed'],
    ['{"cargo-probe-1":4}', 'time-malformed'],
  ];
  for (const [payload, reason] of rows) {
    const before = refusals.counts()[reason] ?? 0;
    t.same(routes.decode('json/x/probe', utf8ToBytes(payload), voyageStartSec), [], payload.slice(0, 40));
    t.ok((refusals.counts()[reason] ?? 0) > before, `${payload.slice(0, 40)}: ${reason}`);
  }
  t.equal(routes.decode('xml/x', utf8ToBytes('{}'), 0), undefined, 'a topic of no sensor');
  t.same(routes.decode('json/x/probe', Uint8Array.of(0xff), 0), []);
  t.end();
});
