import t from 'tap';
import { parseConfig } from '@coldproof/agent/config';
import { readSecrets } from '@coldproof/agent/secret';
import { mustParse } from './fixture.ts';
import { bad, key, whole } from './config-cases.ts';

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

t.test('each bad value gets its key, its value and its bound', (t) => {
  for (const [from, to, ...expected] of bad) {
    t.ok(whole.includes(from), from);
    const answer = parseConfig(whole.replace(from, to));
    t.equal(answer.ok, false, to);
    const detail = answer.ok ? '' : answer.detail;
    for (const each of expected) t.ok(detail.includes(each), `${to} -> ${detail}`);
    t.notOk(detail.includes('hunter2'), 'a secret in the wrong place is not told on');
  }
  t.ok(bad.length >= 90, `${bad.length} cases`);
  t.end();
});

t.test('all problems in one answer, of form and of relation', (t) => {
  // Leaves out what cannot be wrong at the same time: edits of one line, of the YAML itself, the channel, unit and
  // names that others are told by, and the count of logs that are wrong themselves.
  const taken = new Set<string>();
  const chosen = bad.filter(([from, to, first]) => {
    if (['channel: cargo-probe-17', 'unit: mV', 'name: TRUCK-7', 'name: TRUCK-7,'].includes(to)) return false;
    if (to.startsWith('receiptsMin')) return false;
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
    message: new RegExp(
      [
        'passphrase: .*\\$COLDPROOF_PASSPHRASE.*',
        'PIN of the token of REEFER-9: .*\\$TOKEN_PIN.*',
        'password of uplink oracle.*\\$UPLINK_PASSWORD',
      ].join('\n'),
    ),
  });
  try {
    read({ SENSOR_PASSWORD: 'hunter2' })();
  } catch (error) {
    t.notOk(String(error).includes('hunter2'));
  }
  const environment = { SENSOR_PASSWORD: 'a', UPLINK_PASSWORD: 'b', COLDPROOF_PASSPHRASE: 'c', TOKEN_PIN: 'd' };
  const secrets = readSecrets(config, environment);
  t.same(secrets, {
    passphrase: 'c',
    pins: new Map([['REEFER-9', 'd']]),
    uplinkPasswords: new Map([['oracle.example:1883', 'b']]),
    sensorPasswords: new Map([
      ['TRUCK-7', 'a'],
      ['PROBE-1', 'a'],
    ]),
  });
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
