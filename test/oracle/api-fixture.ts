/** An API over a store in memory, with orders, a device's signed voyage, and what the rules make of it. No chain. */
import { join } from 'node:path';
import { ed25519 } from '@noble/curves/ed25519.js';
import type { Test } from 'tap';
import {
  bytesToHex,
  cargoProbe,
  channels,
  decodeEnvelope,
  encodeEnvelope,
  faultValue,
  logOf,
  openEnvelope,
  type Envelope,
  type Privacy,
  type Series,
  type Terms,
} from '@coldproof/wire';
import { Announcer } from '@coldproof/oracle/announce';
import { recordTokens } from '@coldproof/oracle/audit';
import { realClock } from '@coldproof/oracle/clock';
import { Findings } from '@coldproof/oracle/findings';
import { makeApi } from '@coldproof/oracle/http';
import { Log } from '@coldproof/oracle/log';
import { silent } from '@coldproof/oracle/log-line';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Store } from '@coldproof/oracle/store';
import type { Order } from '@coldproof/oracle/store-chain';
import { TokenFile, createToken, scopes, type TokenSpec } from '@coldproof/oracle/token-file';
import { Webhooks } from '@coldproof/oracle/webhook';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { makeFolder } from './oracle-fixture.ts';

export const startSec = 1_767_225_600;
export const origin = 'coldproof.example/test';
export const chainId = 31_337;

const address = (digit: string) => `0x${digit.repeat(40)}`;
export const parties = {
  ...{ buyer: address('a'), supplier: address('b'), carrier: address('c'), consignee: address('d') },
  stranger: address('e'),
};
export const contracts = { Shipments: address('1'), Agreements: address('2'), AnchorLog: address('4') };
const nobody = address('0');

export const terms: Terms = {
  ...{ token: address('3'), price: '48000000000', quantity: '24' },
  ...{ buyer: parties.buyer, consignee: parties.consignee, carrier: parties.carrier },
  suppliers: [parties.supplier, address('f')],
  limits: [
    {
      ...{ channel: cargoProbe(1), lowerLimitCentiC: 200, upperLimitCentiC: 800 },
      ...{ excursionSecMin: 900, cumulativeSecMin: 0 },
    },
  ],
  ...{ sampleGapSecMax: 150, dispatchSecMax: 172_800, transitSecMax: 604_800, claimSecMax: 86_400 },
  ...{ consequence: 0, reorderCountMax: 1 },
  quality: { authority: nobody, decisionSecMax: 0 },
  silence: { monitor: nobody, silenceSecMax: 0, challengeSecMax: 0 },
  attested: { disputes: nobody, arbiter: nobody, bond: '0', livenessSecMin: 0, arbitrationSecMax: 0, cryptlets: [] },
  ...{ cover: nobody, reconciliation: nobody, offerUntil: startSec + 86_400, salt: `0x${'5a'.repeat(32)}` },
};

/** As a key file gives it, without the time that its passphrase takes. */
const logSecret = new Uint8Array(32).fill(0x42);
const logPublicKey = ed25519.getPublicKey(logSecret);
const logKey = {
  publicKey: logPublicKey,
  log: logOf(logPublicKey),
  sign: (message: Uint8Array) => ed25519.sign(message, logSecret),
  signAside: (messages: readonly Uint8Array[]) =>
    Promise.resolve(messages.map((message) => ed25519.sign(message, logSecret))),
  close: () => Promise.resolve(),
};

export function orderOf(orderId: string, device: string, changes: Partial<Order> = {}): Order {
  return {
    ...{ orderId, state: 'InTransit', cause: 'None', agreementId: orderId },
    ...{ buyer: parties.buyer, supplier: parties.supplier, device, truck: `0x${'77'.repeat(32)}` },
    ...{ dispatchedAtSec: startSec, judgedFromSec: startSec, deliveredAtSec: 0 },
    ...{ replacementId: '0', replacementOf: '0', ticketId: '0', evidenceDigest: `0x${'00'.repeat(32)}` },
    ...{ price: terms.price, terms, disputes: nobody, cryptlets: [] },
    limits: terms.limits.map((limit) => ({ ...limit, sampleGapSecMax: terms.sampleGapSecMax })),
    ...changes,
  };
}

/** A quarter of an hour: the cargo as given, and what else a reefer says. */
export function quarter(atSec: number, cargoCentiC: readonly number[]): Series[] {
  const flat = (channel: number, value: number) =>
    regularSeries(
      channel,
      atSec,
      cargoCentiC.map(() => value),
    );
  return [
    flat(channels.supplyAir, 310),
    flat(channels.returnAir, 480),
    flat(channels.setpoint, 400),
    flat(channels.humidity, 815),
    regularSeries(cargoProbe(1), atSec, cargoCentiC),
    flat(channels.latitude, 52_100_000),
    flat(channels.longitude, 4_300_000),
    flat(channels.door, 0),
  ];
}

export type Voyage = { readonly device: VoyageDevice; readonly envelopes: readonly Envelope[] };

/** One batch for each list of cargo temperatures, a minute apart. */
export function voyage(seed: number, quarters: readonly (readonly number[])[], privacy?: Privacy): Voyage {
  const device = new VoyageDevice(seed);
  const seal = (cargo: readonly number[], i: number) =>
    device.seal(quarter(startSec + 60 + i * 900, cargo), 0, 0, privacy);
  return { device, envelopes: quarters.map(seal) };
}

export const quarterOf = (value: number): number[] => new Array<number>(15).fill(value);
/** Two quarters in order, one warm, one that ends in order, with a fault in its middle: an excursion of 15 minutes. */
export const warmQuarters = [
  quarterOf(500),
  quarterOf(500),
  quarterOf(871),
  [905, 860, ...new Array<number>(6).fill(790), faultValue(cargoProbe(1)), ...new Array<number>(6).fill(640)],
];

export type Desk = Awaited<ReturnType<typeof openDesk>>;

/** `t` closes it in the end: a test, or what has a campaign. */
export async function openDesk(
  t: Pick<Test, 'teardown'>,
  {
    requestsPerMinMax = 1_000_000,
    quarters = warmQuarters,
    place = ':memory:',
    privacy = undefined as Privacy | undefined,
  } = {},
) {
  const folder = makeFolder(t);
  const store = new Store(place);
  const log = new Log({ store, key: logKey, origin });
  const { device, envelopes } = voyage(11, quarters, privacy);
  const id = bytesToHex(device.device);
  const nowSec = startSec + quarters.length * 900 + 120;
  const clock = { ...realClock, nowMs: () => nowSec * 1_000 };
  fill(store, log, device, envelopes);
  const announcer = new Announcer({ store, clock });
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log: silent, source: 'ab'.repeat(32) }, []);
  const tokenFile = join(folder, 'tokens.json');
  const faults: object[] = [];
  const tokens = new TokenFile(tokenFile, (found) => recordTokens(store, clock.nowMs(), found));
  const sources = {
    ...{ store, log, crypto: opensslCrypto(), chain: { chainId, contracts }, clock, announcer, webhooks, tokens },
    ...{ status: () => ({ orders: [] }), isReady: () => true },
    say: (level: string, event: string, fields = {}) => {
      if (level === 'error') faults.push({ event, ...fields });
    },
  };
  const app = await makeApi(sources, { requestsPerMinMax });
  t.teardown(async () => {
    await app.close();
    store.close();
  });
  const makeToken = (spec: Partial<TokenSpec> = {}) =>
    createToken(tokenFile, {
      ...{ label: 'test', scopes: [...scopes], party: null, orders: null, channels: null },
      ...{ createdMs: clock.nowMs(), expiresMs: null, ...spec },
    });
  const get = async (url: string, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await app.inject({ method: 'GET', url, headers });
    const isJson = String(response.headers['content-type']).includes('json');
    const json = (isJson && response.body !== '' ? JSON.parse(response.body) : {}) as Record<string, unknown>;
    return { code: response.statusCode, text: response.body, headers: response.headers, json };
  };
  return { app, store, log, device, id, nowSec, announcer, sources, faults, tokenFile, makeToken, get, envelopes };
}

/** The voyage in the log, order 7 on its way with it, order 8 another buyer's; and what the rules say. */
function fill(store: Store, log: Log, device: VoyageDevice, envelopes: readonly Envelope[]): void {
  const id = bytesToHex(device.device);
  const loggable = envelopes.map((envelope) => {
    const decoded = decodeEnvelope(encodeEnvelope(envelope));
    const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
    if (!opened.ok) throw new Error(opened.detail);
    const { batch, digest } = opened.value;
    return { ...batch, digest, envelope: encodeEnvelope(envelope) };
  });
  log.append(loggable, startSec * 1_000);
  const record = {
    ...{ device: id, publicKey: bytesToHex(device.publicKey), owner: parties.carrier, asset: 'CSQU3054383' },
    ...{ validFromSec: startSec - 86_400, calibrationDigest: 'c0'.repeat(32), calibrationUntilSec: startSec * 2 - 1 },
  };
  const others = { ...terms, buyer: parties.stranger, consignee: parties.stranger, carrier: parties.stranger };
  store.transaction(() => {
    store.chain.setDevice({ ...record, calibrationUntilSec: startSec + 31_536_000 }, 3);
    store.chain.setOrder(orderOf('7', id), 5);
    const elsewhere = { buyer: parties.stranger, supplier: parties.stranger, terms: others, state: 'Placed' } as const;
    store.chain.setOrder(orderOf('8', '00'.repeat(32), elsewhere), 6);
    store.chain.setHead({ number: 9, hash: '0x09', timeSec: startSec, safeNumber: 6, finalNumber: 5 });
    const events = ['OrderPlaced', 'OrderAccepted', 'OrderDispatched'];
    for (const [i, name] of events.entries()) insertEvent(store, 3 + i, '7', name, { orderId: '7' });
  });
  const deps = { store, chain: { encode: () => '0x' }, crypto: opensslCrypto(), pace: realClock, log: silent };
  new Findings({ ...deps, crashPoint: () => undefined }).refresh();
}

export function insertEvent(store: Store, blockNumber: number, orderId: string, name: string, args: object): void {
  store.chain.insertEvent({
    ...{ blockNumber, logIndex: 0, transactionHash: `0x${String(blockNumber).padStart(64, '0')}` },
    ...{ contract: 'Shipments', name, subject: `order:${orderId}` },
    args: JSON.stringify({ ...args, blockTimeSec: startSec + blockNumber }),
  });
}

/** What the network does once a quorum has cosigned the log's head of that size, and the chain has it. */
export function anchorLog({ store, log }: Desk, size: number, of = log.publicKey): object {
  const id = `anchor:${bytesToHex(logOf(of))}:${size}:0`;
  const record = { contract: 'AnchorLog', calldata: '0x', log: bytesToHex(logOf(of)), size };
  store.outbox.insert({ id, orderId: 'anchor', evidence: JSON.stringify(record), dueMs: 0, createdMs: size });
  const mined = { transactionHash: `0x${'aa'.repeat(32)}`, blockNumber: size, blockHash: `0x${'bb'.repeat(32)}` };
  store.outbox.setMined(id, 'confirmed', { ...mined, gasUsed: 98_686 });
  return { hash: mined.transactionHash, blockNumber: size, blockHash: mined.blockHash };
}

/** What the contract does with the evidence: cancelled, replaced by order 9, the truck in repair, in block 8. */
export function cancelOrder({ store, id }: Desk): void {
  const [action] = store.outbox.ofOrder('7');
  const { digest, excursion } = JSON.parse(action!.evidence) as { digest: string; excursion: Record<string, number> };
  store.transaction(() => {
    const evidenceDigest = `0x${digest}`;
    const ended = {
      state: 'Cancelled',
      cause: 'Excursion',
      replacementId: '9',
      ticketId: '1',
      evidenceDigest,
    } as const;
    store.chain.setOrder(orderOf('7', id, ended), 8);
    store.chain.setOrder(orderOf('9', '00'.repeat(32), { state: 'Placed', replacementOf: '7' }), 8);
    const { startedAtSec, durationSec, peakCentiC } = excursion;
    const proved = { channel: cargoProbe(1), startedAt: startedAtSec, durationSec, peakCentiC };
    insertEvent(store, 8, '7', 'ExcursionProved', proved);
    const rest = {
      OrderCancelled: { cause: 1 },
      OrderReplaced: { replacementId: '9' },
      RepairRequested: { ticketId: '1' },
    };
    for (const [i, [name, args]] of Object.entries(rest).entries()) {
      store.chain.insertEvent({
        ...{ blockNumber: 8, logIndex: i + 1, transactionHash: `0x${'88'.repeat(32)}`, contract: 'Shipments', name },
        ...{ subject: 'order:7', args: JSON.stringify({ ...args, blockTimeSec: startSec + 3_700 }) },
      });
    }
    const mined = { transactionHash: `0x${'88'.repeat(32)}`, blockNumber: 8, blockHash: `0x${'99'.repeat(32)}` };
    store.outbox.setMined(action!.id, 'confirmed', { ...mined, gasUsed: 335_295 });
  });
}
