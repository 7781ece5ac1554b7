/**
 * Positions from NMEA 0183 (IEC 61162-1): RMC and GGA of any talker; other sentences are passed over. nmea-simple does
 * the arithmetic, but takes an empty or damaged field for zero and puts today's date on a GGA's time, so what it may
 * see is checked here first, and a GGA is dated by the RMC before it.
 *
 *   $GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A      8.3.69: time, status, position, date
 *   $GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47         8.3.35: time of day, position, quality
 */
import { parseNmeaSentence } from 'nmea-simple';
import { accept, reject, type Verdict } from '@coldproof/wire';

export type Position = {
  /** UTC of the satellites; of arrival when the receiver does not know it yet. */
  readonly timeSec: number;
  /** Degrees, WGS 84. Undefined while there is no fix. */
  readonly place: { readonly latitude: number; readonly longitude: number } | undefined;
};

export type NmeaReason =
  /** An RMC or GGA whose fields are not of the standard's form. */
  | 'position-malformed'
  /** A GGA, which has no date, with no RMC shortly before it. */
  | 'position-without-date';

const daySec = 86_400;
/** RMC and GGA come in the same second; after this long without one the date may be another. */
const dateAgeSecMax = 3_600;

const timeOfDay = /^([01]\d|2[0-3])[0-5]\d[0-5]\d(\.\d{1,4})?$/;
const date = /^(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d$/;
const latitude = /^([0-8]\d[0-5]\d\.\d{1,8}|9000\.0{1,8})$/;
const longitude = /^((0\d\d|1[0-7]\d)[0-5]\d\.\d{1,8}|18000\.0{1,8})$/;
/** RMC's mode indicator, NMEA 2.3 on: autonomous, differential, RTK, precise; not none, dead reckoning, manual. */
const measuredModes = ['', 'A', 'D', 'F', 'P', 'R'];
/** GGA's quality indicator: not 0 (none), 6 (dead reckoning), 7 (manual), 8 (simulator). */
const measuredQualities = ['1', '2', '3', '4', '5'];

export class NmeaReader {
  #dated: { readonly timeSec: number; readonly arrivedSec: number } | undefined;

  /** `body`: the sentence without "$" and checksum, which was right. Undefined for a sentence of another kind. */
  read(body: string, arrivedSec: number): Verdict<Position | undefined, NmeaReason> {
    const fields = body.split(',');
    // A proprietary sentence (P...) has no talker; "PRMC" is not an RMC.
    const kind = /^(?!P)[A-Z]{2}(RMC|GGA)$/.exec(fields[0]!)?.[1];
    if (kind === 'RMC') return this.#readRmc(body, fields, arrivedSec);
    return kind === 'GGA' ? this.#readGga(body, fields, arrivedSec) : accept(undefined);
  }

  #readRmc(body: string, fields: readonly string[], arrivedSec: number): Verdict<Position, NmeaReason> {
    const [, time = '', status = '', ...place] = fields;
    const [lat = '', north = '', lon = '', east = '', , , day = '', , , mode = ''] = place;
    if (status === 'V' || (status === 'A' && !measuredModes.includes(mode))) {
      return accept({ timeSec: arrivedSec, place: undefined });
    }
    const isFormed = status === 'A' && timeOfDay.test(time) && date.test(day) && isPlace(lat, north, lon, east);
    const packet = isFormed ? parseNmeaSentence(sentenceOf(body)) : undefined;
    if (packet?.sentenceId !== 'RMC') return malformed(body);
    const timeSec = packet.datetime.getTime() / 1_000;
    this.#dated = { timeSec, arrivedSec };
    return accept({ timeSec, place: { latitude: packet.latitude, longitude: packet.longitude } });
  }

  #readGga(body: string, fields: readonly string[], arrivedSec: number): Verdict<Position, NmeaReason> {
    const [, time = '', lat = '', north = '', lon = '', east = '', quality = ''] = fields;
    if (/^[0678]$/.test(quality)) return accept({ timeSec: arrivedSec, place: undefined });
    const isFormed = measuredQualities.includes(quality) && timeOfDay.test(time) && isPlace(lat, north, lon, east);
    const packet = isFormed ? parseNmeaSentence(sentenceOf(body)) : undefined;
    if (packet?.sentenceId !== 'GGA') return malformed(body);
    const timeSec = this.#date(time, arrivedSec);
    if (timeSec === undefined) return reject('position-without-date', 'GGA: expected an RMC before it, got none');
    return accept({ timeSec, place: { latitude: packet.latitude, longitude: packet.longitude } });
  }

  /** The time of day on the date that puts it closest to the RMC before: across midnight it is the next day. */
  #date(time: string, arrivedSec: number): number | undefined {
    const dated = this.#dated;
    if (dated === undefined || Math.abs(arrivedSec - dated.arrivedSec) > dateAgeSecMax) return undefined;
    const ofDaySec = Number(time.slice(0, 2)) * 3_600 + Number(time.slice(2, 4)) * 60 + Number(time.slice(4));
    const sameDaySec = dated.timeSec - (dated.timeSec % daySec) + ofDaySec;
    return sameDaySec + daySec * Math.round((dated.timeSec - sameDaySec) / daySec);
  }
}

function isPlace(lat: string, north: string, lon: string, east: string): boolean {
  return latitude.test(lat) && /^[NS]$/.test(north) && longitude.test(lon) && /^[EW]$/.test(east);
}

/** nmea-simple wants the sentence whole. */
function sentenceOf(body: string): string {
  const sum = [...Buffer.from(body)].reduce((xor, byte) => xor ^ byte, 0);
  return `$${body}*${sum.toString(16).toUpperCase().padStart(2, '0')}`;
}

function malformed(body: string): Verdict<never, NmeaReason> {
  return reject('position-malformed', `expected the fields of IEC 61162-1, got ${body.slice(0, 82)}`);
}
