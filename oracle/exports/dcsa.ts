/**
 * Readings as DCSA reefer events (reefer_v1.0.0-Beta-1: eventType REEFER, code MEAS), one for each stretch of time:
 * return air is the cargo space's temperature, as on the unit's own display.
 */
import { bytesToHex, channels, referenceCrypto, utf8ToBytes } from '@coldproof/wire';
import type { Bucket } from '../downsample.ts';
import { exportUnit, formatDecimal, formatTime } from './unit.ts';

export type DcsaShipment = { readonly asset: string; readonly device: string; readonly orderId: string };

/** The last reading of each channel in the stretch is what is reported, as a unit does. */
export function dcsaEvents(
  { asset, device, orderId }: DcsaShipment,
  stretches: readonly { readonly toSec: number; readonly byChannel: ReadonlyMap<number, Bucket> }[],
  nowSec: number,
) {
  return stretches.map(({ toSec, byChannel }) => {
    const value = (channel: number) => {
      const last = byChannel.get(channel)?.last;
      return last === undefined ? undefined : Number(formatDecimal(last.value, exportUnit(channel).digits));
    };
    const temperature = value(channels.returnAir) ?? value(channels.supplyAir) ?? value(channels.cargoProbe1);
    const measured = {
      ambientTemperature: value(channels.ambient),
      temperature,
      humidity: value(channels.humidity),
    };
    const setpoint = value(channels.setpoint);
    return {
      metadata: {
        // The same stretch has the same id, whenever it is exported.
        eventID: uuidOf(`${device}:${toSec}`),
        eventType: 'REEFER',
        eventCreatedDateTime: formatTime(nowSec),
      },
      payload: {
        eventClassifierCode: 'ACT',
        eventDateTime: formatTime(toSec),
        reeferEventTypeCode: 'MEAS',
        measurements: { ...defined(measured), temperatureUnit: 'CEL' },
        ...(setpoint === undefined ? {} : { setpoints: { temperature: setpoint, temperatureUnit: 'CEL' } }),
        ...geoLocation(value(channels.latitude), value(channels.longitude)),
        equipmentReference: asset,
        relatedDocumentReferences: [{ type: 'BKG', value: orderId }],
      },
    };
  });
}

/** RFC 9562 §5.8: a UUID of our own making, version 8. */
function uuidOf(text: string): string {
  const digest = referenceCrypto.sha256(utf8ToBytes(text)).slice(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  return bytesToHex(digest).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function geoLocation(latitude: number | undefined, longitude: number | undefined) {
  return latitude === undefined || longitude === undefined ? {} : { geoLocation: { latitude, longitude } };
}

function defined(values: Readonly<Record<string, number | undefined>>) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
