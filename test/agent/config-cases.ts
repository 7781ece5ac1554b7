/** A whole configuration of the agent, and what can be wrong with it: an edit, and words of the answer. */
export const key = 'ab'.repeat(32);
/** Of RFC 6979 §A.2.5. */
export const x = '60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6';
export const y = '7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299';
export const point = x + y;

export const whole = `
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
  - name: REEFER-9
    key: { pkcs11: { module: /usr/lib/softhsm/libsofthsm2.so, token: truck, label: REEFER 9, pinEnv: TOKEN_PIN } }
    sensors:
      - { channel: door, mqtt: { topic: sensors/REEFER-9, name: door } }
sensorSigned:
  - { name: PROBE-1, publicKey: '${point}', topic: signed/PROBE-1 }
lines:
  - { name: logger, path: /dev/ttyUSB1, protocol: text, checksum: crc16, sampleSec: 60 }
  - { name: gps, path: /dev/ttyUSB2, protocol: nmea, sampleSec: 60 }
  - { name: unit, path: /dev/ttyUSB0, baud: 19200, unitId: 1, pollSec: 60, timeoutMs: 1000 }
sensorBroker:
  host: 127.0.0.1
  port: 1884
  credentials:
    - { username: TRUCK-7, passwordEnv: SENSOR_PASSWORD, topics: [sensors/TRUCK-7, zigbee/+/#, spBv1.0/Fleet/+/PLC/#] }
    - { username: PROBE-1, passwordEnv: SENSOR_PASSWORD, topics: [signed/PROBE-1, sensors/REEFER-9], reads: [PROBE-1] }
uplink:
  url: mqtt://oracle.example:1883
  username: gateway-1
  passwordEnv: UPLINK_PASSWORD
  logPublicKey: '${key}'
http: { host: 127.0.0.1, port: 9464 }
`;

/** What is replaced, by what, and what the answer must say. */
export const bad: readonly [from: string, to: string, ...expected: string[]][] = [
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
  ['sealSamplesMax', 'sealSampelsMax', 'devices[0].sealSampelsMax: expected one of name, key, sealSamplesMax'],
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
    'credentials[0].reads[0]: expected the name of one of devices or sensorSigned, got "TRUCK-8"',
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
    'module: /usr/lib/softhsm/libsofthsm2.so',
    'module: libsofthsm2.so',
    'devices[1].key.pkcs11.module: expected an absolute',
  ],
  [
    'token: truck',
    `token: ${'t'.repeat(33)}`,
    'devices[1].key.pkcs11.token: expected 1 to 32 printable ASCII characters',
  ],
  ['token: truck', 'token: 7', 'devices[1].key.pkcs11.token: expected 1 to 32 printable ASCII characters, got 7'],
  ['label: REEFER 9', `label: "Kühl"`, 'devices[1].key.pkcs11.label: expected 1 to 64 printable ASCII characters'],
  ['label: REEFER 9, ', '', 'devices[1].key.pkcs11.label: expected 1 to 64 printable ASCII characters, got nothing'],
  ['pinEnv: TOKEN_PIN', 'pinEnv: hunter2', 'devices[1].key.pkcs11.pinEnv: expected the NAME_OF_A_VARIABLE'],
  [
    'pinEnv: TOKEN_PIN',
    'pin: hunter2',
    'devices[1].key.pkcs11.pin: expected one of module, token, label, pinEnv, pinFile',
  ],
  [
    ', pinEnv: TOKEN_PIN',
    '',
    'devices[1].key.pkcs11.pinEnv: expected one of pinEnv and pinFile, and not both, got nothing',
  ],
  [
    'pinEnv: TOKEN_PIN',
    'pinEnv: A, pinFile: /b',
    'key.pkcs11.pinEnv: expected one of pinEnv and pinFile, and not both',
  ],
  ['key: { pkcs11:', 'key: { tpm:', 'devices[1].key.tpm: expected one of pkcs11'],
  ['name: REEFER-9', 'name: TRUCK-7', 'devices[1].name: expected another name than devices[0]'],
  ['name: PROBE-1,', 'name: TRUCK-7,', 'sensorSigned[0].name: expected another name than devices[0]'],
  [`publicKey: '${point}'`, `publicKey: '${x}'`, 'sensorSigned[0].publicKey: expected 128 lower-case hex digits'],
  [`publicKey: '${point}'`, `publicKey: '${y + x}'`, 'sensorSigned[0].publicKey: expected 128', 'of a point of P-256'],
  [
    'topic: signed/PROBE-1',
    'topic: signed/+',
    'sensorSigned[0].topic: expected a topic of 1 to 256 characters without +',
  ],
  ['topic: signed/PROBE-1', 'topic: agent/PROBE-1', 'sensorSigned[0].topic: expected a topic of 1 to 256 characters'],
  ['topic: signed/PROBE-1', 'topic: signed/PROBE-2', 'sensorSigned[0].topic: expected a topic of one of sensorBroker'],
  ['topic: signed/PROBE-1', 'topic: sensors/REEFER-9', 'sensorSigned[0].topic: expected another topic than devices[1]'],
  [
    '  - { name: PROBE-1, publicKey',
    '  - { name: PROBE-1, trust: yes, publicKey',
    'sensorSigned[0].trust: expected one of name',
  ],
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
