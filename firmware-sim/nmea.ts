/**
 * A satellite receiver's sentences (NMEA 0183, IEC 61162-1 §8.3.69 and §8.3.35), to 0.0001 minutes, some 0.2 m:
 *
 *   $GNRMC,000010.00,A,5333.0660,N,00959.6220,E,000.0,000.0,010126,,,A*72
 *   $GNGGA,000010.00,5333.0660,N,00959.6220,E,1,08,0.9,45.0,M,46.9,M,,*4A
 */
import type { Position } from './route.ts';
import { withXor } from './text-line.ts';

/** Undefined: no fix, as in a tunnel. */
export function formatRmc(unixSec: number, position: Position | undefined): string {
  const at = new Date(unixSec * 1_000);
  const day = [at.getUTCDate(), at.getUTCMonth() + 1, at.getUTCFullYear() % 100]
    .map((each) => digits(each, 2))
    .join('');
  const fix = position === undefined ? 'V,,,,,,' : `A,${place(position)},000.0,000.0`;
  return `$${withXor(`GNRMC,${timeOfDay(at)},${fix},${day},,,${position === undefined ? 'N' : 'A'}`)}`;
}

export function formatGga(unixSec: number, position: Position | undefined): string {
  const at = new Date(unixSec * 1_000);
  const fix = position === undefined ? ',,,,0,00,99.9' : `${place(position)},1,08,0.9`;
  return `$${withXor(`GNGGA,${timeOfDay(at)},${fix},45.0,M,46.9,M,,`)}`;
}

function place({ latitude, longitude }: Position): string {
  const north = latitude < 0 ? 'S' : 'N';
  const east = longitude < 0 ? 'W' : 'E';
  return `${angle(latitude, 2)},${north},${angle(longitude, 3)},${east}`;
}

/** Degrees and minutes in one, ddmm.mmmm. Rounded as a whole, so that there is no 60.0000. */
function angle(degrees: number, degreeDigits: number): string {
  const tenThousandths = Math.round(Math.abs(degrees) * 600_000);
  const minutes = tenThousandths % 600_000;
  const whole = digits(Math.floor(minutes / 10_000), 2);
  return `${digits(Math.floor(tenThousandths / 600_000), degreeDigits)}${whole}.${digits(minutes % 10_000, 4)}`;
}

function timeOfDay(at: Date): string {
  return `${[at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map((each) => digits(each, 2)).join('')}.00`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0');
}
