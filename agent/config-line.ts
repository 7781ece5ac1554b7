/** The serial lines: their electrical side, and what is spoken on them. */
import { integer, name, oneOf, optional, path, record, type Field, type Formed, type Place } from './config-field.ts';

export type PortConfig = {
  readonly name: string;
  readonly path: string;
  readonly baud: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
};

/** The agent asks, and only gets what it asked for. */
export type ModbusLineConfig = PortConfig & {
  readonly protocol: 'modbus';
  readonly unitId: number;
  readonly pollSec: number;
  readonly timeoutMs: number;
};

export const checksums = ['none', 'xor', 'crc16'] as const;
export type Checksum = (typeof checksums)[number];

/** The sensor sends lines by itself, as often as it likes. */
export type PushLineConfig = PortConfig & {
  readonly protocol: 'text' | 'nmea';
  readonly checksum: Checksum;
  /** One sample of a channel is taken in each period of so many seconds. */
  readonly sampleSec: number;
};

export type LineConfig = ModbusLineConfig | PushLineConfig;

const lineShape = {
  name,
  path,
  protocol: optional(oneOf('modbus', 'text', 'nmea'), 'modbus'),
  baud: optional(oneOf(1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)),
  parity: optional(oneOf('none', 'even', 'odd'), 'none'),
  stopBits: optional(oneOf(1, 2), 1),
  unitId: optional(integer(1, 247)),
  pollSec: optional(integer(1, 3_600)),
  timeoutMs: optional(integer(20, 10_000)),
  checksum: optional(oneOf(...checksums)),
  sampleSec: optional(integer(1, 3_600)),
};

type LineKey = 'unitId' | 'pollSec' | 'timeoutMs' | 'checksum' | 'sampleSec';
const keysOf: { readonly [protocol in LineConfig['protocol']]: readonly LineKey[] } = {
  modbus: ['unitId', 'pollSec', 'timeoutMs'],
  text: ['checksum', 'sampleSec'],
  // An NMEA 0183 sentence always has its checksum (IEC 61162-1 §7.2.4); not to look at it is no choice.
  nmea: ['sampleSec'],
};

export const line: Field<LineConfig> = record(lineShape, (formed, place) => {
  const { name, path, protocol, parity, stopBits, unitId, pollSec, timeoutMs, checksum, sampleSec } = formed;
  if (protocol === null) return null;
  for (const key of ['unitId', 'pollSec', 'timeoutMs', 'checksum', 'sampleSec'] as const) {
    const given = formed[key];
    if (given !== undefined && given !== null && !keysOf[protocol].includes(key)) {
      place.key(key).problem(given, `nothing: a ${protocol} line has no ${key}`);
    }
  }
  const baud = formed.baud ?? baudOf[protocol];
  if (protocol === 'modbus') requireKeys(formed, place);
  if (name === null || path === null || parity === null || stopBits === null) return null;
  const port = { name, path, baud, parity, stopBits };
  if (protocol !== 'modbus') {
    return {
      ...port,
      protocol,
      checksum: protocol === 'nmea' ? 'xor' : (checksum ?? 'none'),
      sampleSec: sampleSec ?? 1,
    };
  }
  if (typeof unitId !== 'number' || typeof pollSec !== 'number') return null;
  return { ...port, protocol, unitId, pollSec, timeoutMs: timeoutMs ?? 1_000 };
});

/** Modbus over Serial Line V1.02 §3.2; IEC 61162-1 §5. */
const baudOf = { modbus: 19_200, text: 9_600, nmea: 4_800 } as const;

/** A slave has an address, and nobody else knows how often to ask. */
function requireKeys({ unitId, pollSec }: Formed<typeof lineShape>, place: Place): void {
  if (unitId === undefined) place.key('unitId').problem(unitId, 'an integer, 1 <= n <= 247');
  if (pollSec === undefined) place.key('pollSec').problem(pollSec, 'an integer, 1 <= n <= 3600');
}
