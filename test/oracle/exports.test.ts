/** Exports are what their standards say: EPCIS 2.0 by GS1's schema, SenML by RFC 8428, CSV by RFC 4180, DCSA. */
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import t from 'tap';
import { cargoProbe, faultValue } from '@coldproof/wire';
import { csvRow } from '@coldproof/oracle/exports/csv';
import { formatDecimal } from '@coldproof/oracle/exports/unit';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { cancelOrder, insertEvent, openDesk, quarterOf, startSec } from './api-fixture.ts';

type EpcisEvent = {
  type: string;
  bizStep: string;
  disposition?: string;
  bizTransactionList?: { type: string; bizTransaction: string }[];
  sensorElementList?: { sensorReport: Record<string, unknown>[]; sensorMetadata: Record<string, unknown> }[];
};

async function epcisOf(
  desk: Awaited<ReturnType<typeof openDesk>>,
): Promise<{ document: object; events: EpcisEvent[] }> {
  const { text } = await desk.get('/api/v1/shipments/7/export/epcis');
  const document = JSON.parse(text) as { epcisBody: { eventList: EpcisEvent[] } };
  return { document, events: document.epcisBody.eventList };
}

t.test('EPCIS: what was measured, alarmed, cancelled, replaced and repaired', async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  insertEvent(desk.store, 7, '7', 'OrderQuarantined', { cause: 1 });
  const { events } = await epcisOf(desk);
  const find = (bizStep: string) => events.filter((event) => event.bizStep === bizStep);
  const reports = find('transporting').flatMap(({ sensorElementList }) => sensorElementList![0]!.sensorReport);
  t.ok(reports.some(({ type, maxValue, uom }) => type === 'Temperature' && maxValue === 9.05 && uom === 'CEL'));
  t.ok(reports.some(({ type, maxValue, uom }) => type === 'RelativeHumidity' && maxValue === 81.5 && uom === 'P1'));
  const alarms = find('sensor_reporting').map(({ sensorElementList }) => sensorElementList![0]!.sensorReport[0]);
  t.ok(alarms.some((report) => report!['exception'] === 'ALARM_CONDITION' && report!['value'] === 9.05));
  t.ok(
    alarms.some((report) => report!['exception'] === 'ERROR_CONDITION'),
    'the sensor that gave no value',
  );
  t.match(find('void_shipping'), [{ type: 'ObjectEvent', disposition: 'non_sellable_other' }]);
  t.match(find('replacing'), [
    { type: 'TransactionEvent', bizTransactionList: [{ type: 'po' }, { bizTransaction: /:9$/ }] },
  ]);
  t.match(find('repairing'), [{ type: 'ObjectEvent', disposition: 'unavailable' }]);
  t.match(find('holding'), [{ disposition: 'non_conformant' }]);
});

t.test('EPCIS: the document is valid for GS1, whatever is in it', { skip: skipWithoutVectors }, async (t) => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const validate = ajv.compile(vectorJson('epcis/EPCIS-JSON-Schema.json') as object);
  for (const [name, prepare] of Object.entries({ 'in transit': () => undefined, cancelled: cancelOrder })) {
    const desk = await openDesk(t);
    prepare(desk);
    insertEvent(desk.store, 7, '7', 'OrderQuarantined', { cause: 1 });
    insertEvent(desk.store, 6, '7', 'OrderDelivered', { cause: 1 });
    const { document, events } = await epcisOf(desk);
    t.ok(validate(document), `${name}: ${JSON.stringify(validate.errors)}`);
    for (const event of events) {
      const { document: whole } = { document: { ...document, epcisBody: { eventList: [event] } } };
      t.ok(validate(whole), `${event.type} ${event.bizStep}`);
    }
    const [first] = events;
    const broken = { ...document, epcisBody: { eventList: [{ ...first, eventTimeZoneOffset: undefined }] } };
    t.notOk(validate(broken), 'the schema finds what is wrong');
  }
});

t.test('SenML: resolves to the readings, by the rules of RFC 8428 §4', async (t) => {
  const desk = await openDesk(t);
  const { text, headers } = await desk.get('/api/v1/shipments/7/export/senml?channels=cargo-probe-1,humidity');
  t.match(headers['content-type'], 'application/senml+json');
  const records = JSON.parse(text) as {
    bn?: string;
    bt?: number;
    n: string;
    t: number;
    v?: number;
    vb?: boolean;
    u?: string;
  }[];
  let [name, time] = ['', 0];
  const resolved = records.map((record) => {
    [name, time] = [record.bn ?? name, record.bt ?? time];
    t.match(name + record.n, /^[A-Za-z0-9][-:./_A-Za-z0-9]*$/);
    t.ok((record.v === undefined) !== (record.vb === undefined), 'one value each');
    return { n: record.n, v: record.v, t: time + record.t, u: record.u };
  });
  t.equal(resolved.length, 120);
  t.ok(
    resolved.every((record) => record.t >= 2 ** 28),
    'absolute times',
  );
  const warmest = resolved.filter(({ n }) => n === 'cargo-probe-1').reduce((a, b) => ((b.v ?? 0) > a.v! ? b : a));
  t.same(warmest, { n: 'cargo-probe-1', v: 9.05, t: startSec + 60 * 46, u: 'Cel' });
  t.ok(resolved.some(({ n }) => n === 'cargo-probe-1/fault'));
});

t.test('CSV: a row for each reading, fields as RFC 4180 has them', async (t) => {
  const desk = await openDesk(t);
  const { text } = await desk.get('/api/v1/shipments/7/export/csv?channels=cargo-probe-1');
  const rows = text.split('\r\n');
  t.equal(rows.length, 62, 'head, 60 readings, and the end of the last line');
  t.match(rows[0], /^order_id,agreement_id,supplier,/);
  t.match(rows[46], /,cargo-probe-1,2026-01-01T00:46:00Z,9\.05,Cel,,gateway-signed$/);
  t.match(rows[54], /,cargo-probe-1,2026-01-01T00:54:00Z,,Cel,,gateway-signed$/, 'a fault is no value');
  const subject = {
    orderId: '7',
    agreementId: '7',
    supplier: '=1+1',
    carrier: 'a,b',
    consignee: 'c"d',
    asset: '',
    device: '',
  };
  const reading = {
    channel: cargoProbe(1),
    timeSec: startSec,
    value: -1_850,
    marks: 5,
    isSensorSigned: true,
    sequence: 0,
  };
  t.equal(
    csvRow(subject, reading),
    `7,7,'=1+1,"a,b","c""d",,,0,cargo-probe-1,2026-01-01T00:00:00Z,-18.50,Cel,stuck out-of-range,sensor-signed\r\n`,
  );
});

t.test('DCSA: a reefer event for each stretch, with the set point beside it', async (t) => {
  const desk = await openDesk(t, { quarters: Array.from({ length: 12 }, () => quarterOf(500)) });
  const events = JSON.parse((await desk.get('/api/v1/shipments/7/export/dcsa')).text) as object[];
  t.equal(events.length, 3, 'one an hour');
  t.match(events[0], {
    metadata: { eventID: /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, eventType: 'REEFER' },
    payload: {
      ...{ eventClassifierCode: 'ACT', reeferEventTypeCode: 'MEAS', equipmentReference: 'CSQU3054383' },
      measurements: { temperature: 4.8, humidity: 81.5, temperatureUnit: 'CEL' },
      setpoints: { temperature: 4, temperatureUnit: 'CEL' },
      geoLocation: { latitude: 52.1, longitude: 4.3 },
    },
  });
  const again = JSON.parse((await desk.get('/api/v1/shipments/7/export/dcsa')).text) as object[];
  t.same(again, events, 'the same stretch has the same id');
});

t.test('decimals are made of digits', (t) => {
  const cases: [number, number, string][] = [
    [5, 2, '0.05'],
    [-5, 2, '-0.05'],
    [-1_850, 2, '-18.50'],
    [0, 2, '0.00'],
    [52_100_000, 6, '52.100000'],
    [7, 0, '7'],
    [faultValue(1), 0, '-32768'],
  ];
  for (const [value, digits, text] of cases) t.equal(formatDecimal(value, digits), text);
  t.end();
});
