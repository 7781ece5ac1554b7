/** Devices: whose they are, when they were last heard, what is missing of them, and whether they signed twice. */
import { flags, hexToBytes } from '@coldproof/wire';
import { describeDevice } from '../describe.ts';
import { batchesIn } from '../readings.ts';
import type { Device } from '../store-chain.ts';
import { formatCursor } from './cursor.ts';
import { canSeeDevice } from './principal.ts';
import { readingSource } from './readings.ts';
import { Refusal, cursorOf, nowSecOf, visiblePage, type Api, type ApiSources } from './route.ts';
import * as schema from './schema.ts';

const deviceFields = {
  device: schema.text,
  publicKey: schema.text,
  owner: schema.text,
  asset: schema.text,
  validFrom: schema.integer,
  revokedFrom: schema.integerOrNull,
  calibrationDigest: schema.text,
  calibrationUntil: schema.integer,
  isCalibrated: schema.boolean,
  batches: { ...schema.integer, description: 'with a receipt; the next sequence' },
  lastSeen: { ...schema.integerOrNull, description: 'time of the newest sample' },
  provenance: { enum: ['sensor-signed', 'gateway-signed', null] },
};

const oneDevice = schema.object({
  ...deviceFields,
  /** Log and sequence leave no hole; these are times without a sample, as the rules found them. */
  gaps: schema.list(schema.object({ orderId: schema.text, channel: schema.text, startedAt: schema.integer })),
  equivocations: schema.list(schema.object({ sequence: schema.integer, seenMs: schema.integer })),
});

export function addDevices({ app, sources }: Api): void {
  const { store } = sources;
  app.get<{ Querystring: { cursor?: string; limit: number } }>(
    '/api/v1/devices',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'Enrolled devices',
        tag: 'devices',
        query: schema.input({ cursor: schema.cursorText, limit: schema.limitUpTo(100, 20) }),
        answer: schema.page(schema.object(deviceFields)),
      }),
    },
    async ({ query: { cursor, limit }, principal }) => {
      const [from] = cursorOf(cursor, ['']);
      const { items, last, isEnd } = visiblePage<Device, Device>(
        (after, countMax) => store.pages.devices(after?.device ?? from, countMax),
        limit,
        (device) => (canSeeDevice(principal, device.owner) ? device : undefined),
      );
      const described = await Promise.all(items.map((device) => describe(sources, device)));
      return { items: described, next: isEnd || last === undefined ? null : formatCursor([last.device]) };
    },
  );
  app.get<{ Params: { device: string } }>(
    '/api/v1/devices/:device',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'One device, with its gaps and equivocations',
        tag: 'devices',
        params: schema.input({ device: schema.deviceText }, ['device']),
        answer: oneDevice,
      }),
    },
    async ({ params, principal }) => {
      const device = store.chain.device(params.device);
      if (device === undefined || !canSeeDevice(principal, device.owner)) {
        throw new Refusal(404, `no device ${params.device}`);
      }
      return {
        ...(await describe(sources, device)),
        gaps: store.pages.gapsOf(device.device),
        equivocations: store.pages.equivocationsOf(hexToBytes(device.device)),
      };
    },
  );
}

async function describe(sources: ApiSources, device: Device) {
  const { store } = sources;
  const id = hexToBytes(device.device);
  const batches = store.log.head(id)?.nextSequence ?? 0;
  const said = { ...describeDevice(device, nowSecOf(sources)), batches };
  const everything = { fromSec: 0, toSec: 0xffff_ffff };
  for await (const { batch } of batchesIn(readingSource(sources), id, everything, Math.max(0, batches - 1))) {
    const provenance = (batch.flags & flags.sensorSigned) === 0 ? 'gateway-signed' : 'sensor-signed';
    return { ...said, lastSeen: batch.lastSec, provenance };
  }
  return { ...said, lastSeen: null, provenance: null };
}
