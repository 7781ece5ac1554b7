import t from 'tap';
import { parseConfig } from '@coldproof/agent/config';
import { readSecrets } from '@coldproof/agent/secret';
import { mustParse } from './fixture.ts';

const key = 'ab'.repeat(32);

const whole = `
stateDir: /var/lib/coldproof
passphraseEnv: COLDPROOF_PASSPHRASE
devices:
  - name: TRUCK-7
    sealSamplesMax: 15
    sealAgeSecMax: 900
    sensors:
      - channel: cargo-probe-1
        mqtt: { topic: sensors/TRUCK-7, name: TRUCK-7/cargo-probe-1 }
        unit: Cel
        range: [-40, 70]
        invalid: [-127, 85]
        stuckSamples: 10
        spikeCentiCPerMin: 500
      - channel: ambient
        mqtt: { topic: zigbee/+/ambient, value: /celsius, time: /ts, timeFormat: unix-ms, words: { off: -127 } }
      - channel: supply-air
        modbus: { line: unit, function: 4, register: 1, type: int16, scale: 0.1, invalid: [0x7fff] }
      - channel: cargo-probe-2
        text: { line: logger, pattern: 'T2=(?<value>[-0-9.]+)(;.*)?', scale: 0.1 }
      - { channel: latitude, nmea: { line: gps } }
      - { channel: return-air, sparkplug: { group: Fleet, node: PLC, device: probes, metric: return/air } }
lines:
  - { name: logger, path: /dev/ttyUSB1, protocol: text, checksum: crc16, sampleSec: 60 }
  - { name: gps, path: /dev/ttyUSB2, protocol: nmea, sampleSec: 60 }
  - { name: unit, path: /dev/ttyUSB0, baud: 19200, unitId: 1, pollSec: 60, timeoutMs: 1000 }
sensorBroker:
  host: 127.0.0.1
  port: 1884
  credentials:
    - { username: TRUCK-7, passwordEnv: SENSOR_PASSWORD, topics: [sensors/TRUCK-7, zigbee/+/#, spBv1.0/Fleet/+/PLC/#] }
uplink:
  url: mqtt://oracle.example:1883
  username: gateway-1
  passwordEnv: UPLINK_PASSWORD
  logPublicKey: '${key}'
http: { host: 127.0.0.1, port: 9464 }
`;

t.test('the example of the documentation, with every default', (t) => {
  const config = mustParse(whole);
  t.match(config, {
    stateDir: '/var/lib/coldproof',
    passphrase: { env: 'COLDPROOF_PASSPHRASE' },
    uplinks: [{ windowBatches: 16, resendSec: 10, reconnectSecMax: 30, password: { env: 'UPLINK_PASSWORD' } }],
    http: { host: '127.0.0.1', port: 9464 },
    journal: { sizeMaxMiB: 1_024, ageMaxDays: undefined, onFull: 'refuse-new', keepDays: 7 },
    clock: { source: 'none' },
  });
  const [probe, ambient, supply] = config.devices[0]!.sensors;
  t.same(ambient!.source, {
    kind: 'json',
    topic: 'zigbee/+/ambient',
    mapping: {
      value: ['celsius'],
      time: ['ts'],
      timeFormat: 'unix-ms',
      scale: 1,
      offset: 0,
      words: new Map([['off', -127]]),
    },
  });
  t.match(probe, { channel: 16, unit: 'Cel', range: { least: -4_000, most: 7_000 }, invalid: [-12_700, 8_500] });
  t.match(supply, {
    channel: 1,
    unit: 'Cel',
    stuckSamples: undefined,
    source: { kind: 'modbus', wordOrder: 'high-first', scale: 0.1, offset: 0, invalid: [0x7fff], unitId: undefined },
  });
  t.match(config.lines, [
    { protocol: 'text', baud: 9_600, checksum: 'crc16', parity: 'none', stopBits: 1 },
    { protocol: 'nmea', baud: 4_800, checksum: 'xor' },
    { protocol: 'modbus', baud: 19_200, timeoutMs: 1_000 },
  ]);
  t.end();
});

/** What is replaced, by what, and what the answer must say. */
const bad: readonly [from: string, to: string, ...expected: string[]][] = [
  ['stateDir: /var/lib/coldproof', 'stateDir: state', 'stateDir: expected an absolute path, got "state"'],
  ['stateDir: /var/lib/coldproof\n', '', 'stateDir: expected an absolute path, got nothing'],
  ['passphraseEnv: COLDPROOF_PASSPHRASE\n', '', 'passphraseEnv: expected one of passphraseEnv and passphraseFile'],
  ['passphraseEnv: COLDPROOF_PASSPHRASE', 'passphraseEnv: hunter2', 'passphraseEnv: expected the NAME_OF_A_VARIABLE'],
  ['passphraseEnv: COLDPROOF_PASSPHRASE', 'passphrase: hunter2', 'passphrase: expected one of stateDir, passphraseEnv'],
  ['name: TRUCK-7\n', 'name: ../../etc\n', 'devices[0].name: expected 1 to 64 of A-Z a-z 0-9 . _ -'],
  ['sealSamplesMax: 15', 'sealSamplesMax: 0', 'devices[0].sealSamplesMax: expected an integer, 1 <= n <= 1440, got 0'],
  ['sealSamplesMax: 15', 'sealSamplesMax: 1.5', 'devices[0].sealSamplesMax: expected an integer'],
  ['sealSamplesMax: 15', 'sealSamplesMax: "15"', 'devices[0].sealSamplesMax: expected an integer', 'got "15"'],
  ['sealAgeSecMax: 900', 'sealAgeSecMax: 65536', 'devices[0].sealAgeSecMax: expected an integer, 1 <= n <= 65535'],
  ['sealSamplesMax', 'sealSampelsMax', 'devices[0].sealSampelsMax: expected one of name, sealSamplesMax'],
  ['channel: cargo-probe-1', 'channel: cargo-probe-17', 'devices[0].sensors[0].channel: expected a channel'],
  ['channel: supply-air', 'channel: cargo-probe-1', 'devices[0].sensors[2].channel: expected another channel than'],
  ['unit: Cel', 'unit: mV', 'devices[0].sensors[0].unit: expected a unit of cargo-probe-1: Cel, K, Far, got "mV"'],
  ['range: [-40, 70]', 'range: [70, -40]', 'devices[0].sensors[0].range: expected [least, most] in Cel'],
  ['range: [-40, 70]', 'range: [-40, 700]', 'sensors[0].range: expected [least, most] in Cel, within +-32767'],
  ['range: [-40, 70]', 'range: [-40]', 'devices[0].sensors[0].range: expected a list of 2 to 2'],
  ['invalid: [-127, 85]', 'invalid: [cold]', 'devices[0].sensors[0].invalid[0]: expected a number', 'got "cold"'],
  ['stuckSamples: 10', 'stuckSamples: 2', 'devices[0].sensors[0].stuckSamples: expected an integer, 3 <= n <= 1000'],
  ['stuckSamples: 10', 'gapSecMax: 0', 'devices[0].sensors[0].gapSecMax: expected an integer, 1 <= n <= 86400, got 0'],
  ['topic: sensors/TRUCK-7,', 'topic: sensors/#,', 'devices[0].sensors[0].mqtt.topic: expected a topic'],
  ['topic: sensors/TRUCK-7,', 'topic: sensors/TRUCK-8,', 'mqtt.topic: expected a topic of one of sensorBroker'],
  ['name: TRUCK-7/cargo-probe-1', 'name: a b', 'devices[0].sensors[0].mqtt.name: expected a SenML name'],
  ['name: TRUCK-7/cargo-probe-1', 'value: /a, name: b', 'mqtt.name: expected one of name (SenML) and value (JSON)'],
  ['name: TRUCK-7/cargo-probe-1', 'scale: 2, name: b', 'sensors[0].mqtt.scale: expected nothing: it goes with value'],
  ['value: /celsius', 'value: celsius', 'sensors[1].mqtt.value: expected a JSON pointer (RFC 6901)', 'got "celsius"'],
  ['value: /celsius', 'value: /a~2b', 'sensors[1].mqtt.value: expected a JSON pointer (RFC 6901)', 'got "/a~2b"'],
  ['time: /ts, ', '', 'sensors[1].mqtt.time: expected a JSON pointer, as there is a timeFormat, got nothing'],
  ['timeFormat: unix-ms', 'timeFormat: local', 'timeFormat: expected one of unix-sec, unix-ms, rfc3339, got "local"'],
  ['words: { off: -127 }', 'words: { off: cold }', 'mqtt.words: expected a mapping of 1 to 64 words to numbers'],
  ['topic: zigbee/+/ambient', 'topic: zigbee/+x/ambient', 'sensors[1].mqtt.topic: expected a topic of 1 to 256'],
  ['topic: zigbee/+/ambient', 'topic: +/TRUCK-7', 'sensors[1].mqtt.topic: expected another topic than the SenML of'],
  ['topic: zigbee/+/ambient', 'topic: +/+/ambient', 'mqtt.topic: expected a topic of one of sensorBroker.credentials'],
  [
    "pattern: 'T2=(?<value>[-0-9.]+)(;.*)?'",
    'pattern: T2=(.*)',
    'text.pattern: expected a regular expression with (?<v',
  ],
  [
    "pattern: 'T2=(?<value>[-0-9.]+)(;.*)?'",
    "pattern: '(?<value>(a+)+)'",
    'no group of it repeated, got "(?<value>(a+)+)"',
  ],
  ["pattern: 'T2=(?<value>[-0-9.]+)(;.*)?'", "pattern: '(?<value>['", 'text.pattern: expected', 'Unterminated'],
  ["pattern: 'T2=", "value: /a, pattern: 'T2=", 'text.pattern: expected one of pattern and value (JSON), and not both'],
  ["pattern: 'T2=", "time: /a, pattern: 'T2=", 'text.time: expected nothing: with a pattern, its group (?<time>...)'],
  ['text: { line: logger', 'text: { line: gps', 'sensors[3].text.line: expected a line of protocol text, got "gps"'],
  ['channel: latitude', 'channel: humidity', 'sensors[4].nmea: expected latitude or longitude, got "humidity"'],
  [
    'node: PLC',
    'node: RTU',
    'sensors[5].sparkplug.node: expected spBv1.0/Fleet/+/RTU/# among the topics of sensorBroker',
  ],
  ['node: PLC', 'node: a/b', 'sensors[5].sparkplug.node: expected a Sparkplug id of 1 to 64 characters without + / #'],
  ['metric: return/air', 'metrics: return/air', 'sensors[5].sparkplug.metrics: expected one of group, node, device'],
  ['nmea: { line: gps }', 'nmea: { line: gpx }', 'sensors[4].nmea.line: expected the name of one of lines, got "gpx"'],
  ['protocol: nmea', 'protocol: ubx', 'lines[1].protocol: expected one of modbus, text, nmea, got "ubx"'],
  ['protocol: nmea', 'protocol: nmea, checksum: none', 'lines[1].checksum: expected nothing: a nmea line has no'],
  ['checksum: crc16', 'checksum: md5', 'lines[0].checksum: expected one of none, xor, crc16, got "md5"'],
  ['checksum: crc16', 'pollSec: 5', 'lines[0].pollSec: expected nothing: a text line has no pollSec, got 5'],
  ['unitId: 1, ', '', 'lines[2].unitId: expected an integer, 1 <= n <= 247, got nothing'],
  [
    'modbus: {',
    'nmea: { line: gps }\n        modbus: {',
    'sensors[2].modbus: expected one of mqtt, modbus, text, nmea',
  ],
  ['line: unit', 'line: other', 'devices[0].sensors[2].modbus.line: expected the name of one of lines, got "other"'],
  ['function: 4', 'function: 1', 'devices[0].sensors[2].modbus.function: expected one of 3, 4, got 1'],
  ['register: 1,', 'register: 65536,', 'devices[0].sensors[2].modbus.register: expected an integer'],
  ['type: int16', 'type: int8', 'devices[0].sensors[2].modbus.type: expected one of int16, uint16, int32'],
  ['scale: 0.1', 'scale: .inf', 'devices[0].sensors[2].modbus.scale: expected a number'],
  ['path: /dev/ttyUSB0', 'path: COM3', 'lines[2].path: expected an absolute path, got "COM3"'],
  ['baud: 19200', 'baud: 19201', 'lines[2].baud: expected one of 1200, 2400'],
  ['unitId: 1', 'unitId: 248', 'lines[2].unitId: expected an integer, 1 <= n <= 247, got 248'],
  ['pollSec: 60', 'pollSec: 0', 'lines[2].pollSec: expected an integer, 1 <= n <= 3600, got 0'],
  ['port: 1884', 'port: 99999', 'sensorBroker.port: expected an integer, 0 <= n <= 65535'],
  ['passwordEnv: SENSOR_PASSWORD', 'password: hunter2', 'sensorBroker.credentials[0].password: expected one of'],
  [
    'topics: [sensors/TRUCK-7, zigbee/+/#, spBv1.0/Fleet/+/PLC/#]',
    'topics: []',
    'sensorBroker.credentials[0].topics: expected a list of 1 to 64',
  ],
  [
    ', topics: [sensors/TRUCK-7, zigbee/+/#, spBv1.0/Fleet/+/PLC/#]',
    '',
    'sensorBroker.credentials[0].topics: expected topics to send to, or reads',
  ],
  [
    'topics: [sensors/TRUCK-7, zigbee/+/#, spBv1.0/Fleet/+/PLC/#]',
    'topics: [agent/x]',
    'topics[0]: expected a topic of 1 to 256 characters, + and # as whole',
  ],
  [
    ', topics:',
    ', reads: [TRUCK-8], topics:',
    'credentials[0].reads[0]: expected the name of one of devices, got "TRUCK-8"',
  ],
  [', topics:', ', reads: [], topics:', 'sensorBroker.credentials[0].reads: expected a list of 1 to 64'],
  ['url: mqtt://oracle', 'url: http://oracle', 'uplink.url: expected mqtt://host:port or mqtts://'],
  ['url: mqtt://oracle', 'url: mqtt://user:hunter2@oracle', 'uplink.url: expected mqtt://host:port'],
  [`logPublicKey: '${key}'`, `logPublicKey: '${key.toUpperCase()}'`, 'uplink.logPublicKey: expected 64 lower-case hex'],
  [`logPublicKey: '${key}'`, 'logPublicKey: 1234', 'uplink.logPublicKey: expected 64 lower-case hex', 'got 1234'],
  ['  passwordEnv: UPLINK_PASSWORD\n', '', 'uplink.passwordEnv: expected one of passwordEnv and passwordFile'],
  ['url: mqtt:', 'mqtt: 4\n  url: mqtt:', 'uplink.mqtt: expected one of 3.1.1, 5, got 4'],
  ['url: mqtt:', 'order: newest\n  url: mqtt:', 'uplink.order: expected one of in-order, live-first, got "newest"'],
  ['url: mqtt:', 'tls: {}\n  url: mqtt:', 'uplink.url: expected mqtts://host:port, since there is tls'],
  [
    'url: mqtt:',
    'tls: { certFile: /a }\n  url: mqtts:',
    'uplink.tls.keyFile: expected certFile and keyFile, or neither',
  ],
  ['url: mqtt:', 'compress: yes please\n  url: mqtt:', 'uplink.compress: expected true or false, got "yes please"'],
  ['uplink:\n', 'receiptsMin: 2\nuplink:\n', 'receiptsMin: expected at most the number of logs, 1, got 2'],
  ['uplink:\n', 'uplinks: []\nuplink:\n', 'uplinks: expected a list of 1 to 16'],
  ['logPublicKey:', 'logPublicKeys: []\n  logPublicKey:', 'uplink.logPublicKeys: expected a list of 1 to 64'],
  [
    'http: {',
    'journal: { sizeMaxMiB: 8 }\nhttp: {',
    'journal.sizeMaxMiB: expected an integer, 16 <= n <= 1048576, got 8',
  ],
  [
    'http: {',
    'journal: { onFull: drop }\nhttp: {',
    'journal.onFull: expected one of refuse-new, overwrite-oldest, got',
  ],
  ['http: {', 'journal: { ageMaxDays: 0 }\nhttp: {', 'journal.ageMaxDays: expected an integer, 1 <= n <= 3650, got 0'],
  ['http: {', 'journal: { keepDays: -1 }\nhttp: {', 'journal.keepDays: expected an integer, 0 <= n <= 3650, got -1'],
  [
    'http: {',
    'journal: { size: 20 }\nhttp: {',
    'journal.size: expected one of sizeMaxMiB, ageMaxDays, onFull, keepDays',
  ],
  ['http: {', 'clock: { source: ntp }\nhttp: {', 'clock.source: expected one of system, gps, none, got "ntp"'],
  ['http: {', 'clock: { source: gps }\nhttp: {', 'clock.line: expected the name of an nmea line, got nothing'],
  [
    'http: {',
    'clock: { source: system, line: unit }\nhttp: {',
    'clock.line: expected nothing: system has no line, got "unit"',
  ],
  [
    'http: {',
    'clock: { source: gps, line: unit }\nhttp: {',
    'clock.line: expected the name of one of lines, of protocol nmea',
  ],
  ['sealAgeSecMax: 900', 'heartbeatSec: 5', 'devices[0].heartbeatSec: expected an integer, 10 <= n <= 86400, got 5'],
  ['channel: ambient', 'channel: readings-dropped', 'sensors[1].channel: expected a channel'],
  ['http: {', 'htpp: {', 'htpp: expected one of stateDir'],
  ['stateDir: /var', 'stateDir: /a\nstateDir: /var', 'DUPLICATE_KEY'],
  ['devices:', 'devices: [', 'line '],
];

t.test('each bad value gets its key, its value and its bound', (t) => {
  for (const [from, to, ...expected] of bad) {
    t.ok(whole.includes(from), from);
    const answer = parseConfig(whole.replace(from, to));
    t.equal(answer.ok, false, to);
    const detail = answer.ok ? '' : answer.detail;
    for (const each of expected) t.ok(detail.includes(each), `${to} -> ${detail}`);
    t.notOk(detail.includes('hunter2'), 'a secret in the wrong place is not told on');
  }
  t.ok(bad.length >= 40, `${bad.length} cases`);
  t.end();
});

t.test('all problems in one answer, of form and of relation', (t) => {
  // Leaves out what cannot be wrong at the same time: edits of one line, of the YAML itself, the channel and unit that
  // others are told by, and the count of logs that are wrong themselves.
  const taken = new Set<string>();
  const chosen = bad.filter(([from, to, first]) => {
    if (to === 'channel: cargo-probe-17' || to === 'unit: mV' || to.startsWith('receiptsMin')) return false;
    const line = whole.split('\n').find((each) => each.includes(from.split('\n')[0]!)) ?? '';
    if (taken.has(line) || !first!.includes('expected')) return false;
    taken.add(line);
    return true;
  });
  const answer = parseConfig(chosen.reduce((yaml, [from, to]) => yaml.replace(from, to), whole));
  t.ok(chosen.length >= 15, `${chosen.length} problems at once`);
  t.equal(answer.ok, false);
  if (answer.ok) return t.end();
  for (const [, , ...expected] of chosen) for (const each of expected) t.ok(answer.detail.includes(each), each);
  t.end();
});

t.test('what is no configuration at all', (t) => {
  for (const text of ['', '42', '[]', 'null', '- a\n- b', '\u0000', 'a: &a [1]\nb: *a', '{'.repeat(10_000)]) {
    t.equal(parseConfig(text).ok, false, JSON.stringify(text.slice(0, 20)));
  }
  t.end();
});

t.test('a batch that could not fit an envelope', (t) => {
  const sensors = Array.from(
    { length: 16 },
    (_, i) => `      - { channel: cargo-probe-${i + 1}, mqtt: { topic: s, name: p${i} } }`,
  ).join('\n');
  const yaml = `
stateDir: /s
passphraseEnv: P
devices:
  - name: T
    sealSamplesMax: 1440
    sensors:
${sensors}
sensorBroker: { port: 0, credentials: [{ username: T, passwordEnv: P, topics: [s] }] }
uplink: { url: 'mqtt://o:1', logPublicKey: '${key}' }
`;
  const answer = parseConfig(yaml);
  t.match(answer.ok ? '' : answer.detail, /devices\[0\]\.sealSamplesMax: expected a batch of <= 65536 bytes, not/);
  t.equal(parseConfig(yaml.replace('1440', '1000')).ok, true);
  t.end();
});

t.test('secrets: all that is missing in one answer, none in a message', (t) => {
  const config = mustParse(whole);
  const read = (environment: { [name: string]: string }) => () => readSecrets(config, environment);
  t.throws(read({ SENSOR_PASSWORD: 'hunter2' }), {
    code: 'secret-missing',
    message: /passphrase: .*\$COLDPROOF_PASSPHRASE.*\npassword of uplink oracle.*\$UPLINK_PASSWORD/,
  });
  try {
    read({ SENSOR_PASSWORD: 'hunter2' })();
  } catch (error) {
    t.notOk(String(error).includes('hunter2'));
  }
  const secrets = readSecrets(config, { SENSOR_PASSWORD: 'a', UPLINK_PASSWORD: 'b', COLDPROOF_PASSPHRASE: 'c' });
  const uplinkPasswords = new Map([['oracle.example:1883', 'b']]);
  t.same(secrets, { passphrase: 'c', uplinkPasswords, sensorPasswords: new Map([['TRUCK-7', 'a']]) });
  t.end();
});

t.test('uplinks: each log once, each name once, and not both forms', (t) => {
  const one = { url: 'mqtt://o:1', logPublicKey: key };
  const other = { url: 'mqtt://p:1', logPublicKeys: ['cd'.repeat(32)] };
  const base = whole.slice(0, whole.indexOf('uplink:\n'));
  const answer = (uplinks: readonly object[], rest = '') => {
    const parsed = parseConfig(`${base}\nuplinks: ${JSON.stringify(uplinks)}\n${rest}`);
    return parsed.ok ? parsed.value : parsed.detail;
  };
  t.match(answer([one, other]), { receiptsMin: 2, uplinks: [{ name: 'o:1' }, { name: 'p:1' }] });
  t.match(answer([one, other], 'receiptsMin: 1'), { receiptsMin: 1 });
  t.match(answer([one, { ...one, name: 'twin' }]), /uplinks\[1\]\.logPublicKeys: expected a key that is nowhere else/);
  t.match(answer([one, { ...other, name: 'o:1' }]), /uplinks\[1\]\.name: expected 1 to 64 of/);
  t.match(answer([one, { ...other, url: one.url }]), /uplinks\[1\]\.name: expected a name that no other uplink has/);
  t.match(answer([one], `uplink: ${JSON.stringify(one)}`), /uplink: expected one of uplink and uplinks, and not both/);
  t.end();
});
