/** Bytes on the wire for a reading, as the format has them; nothing compressed, the MQTT packet not counted. */
import { cargoProbe, channels } from '@coldproof/wire';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

export function measureWireSize(): Record<string, number> {
  const values = Array.from({ length: 15 }, (_, i) => 480 + i);
  const numbers = [channels.supplyAir, channels.returnAir, channels.setpoint, cargoProbe(1)];
  const series = numbers.map((channel) => regularSeries(channel, 1_767_225_600, values));
  const bytes = new VoyageDevice(1).sealEncoded(series).length;
  const senml = numbers.map((channel) => [
    { bn: `TRUCK-7/${channel}`, bt: 1_767_225_600, bu: 'Cel', v: 4.8 },
    ...values.slice(1).map((value, i) => ({ t: 60 * (i + 1), v: value / 100 })),
  ]);
  const readings = values.length * numbers.length;
  return {
    readings,
    envelopeBytes: bytes,
    bytesPerReading: Math.round((bytes / readings) * 100) / 100,
    unsignedSenmlJsonBytesPerReading: Math.round((JSON.stringify(senml.flat()).length / readings) * 100) / 100,
  };
}
