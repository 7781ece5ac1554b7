/** A device's key is replaced with the consent of the old one and of the new one, by the owner of both. */
import t, { type Test } from 'tap';
import { encodeRotation, hexToBytes, rotationPreimage } from '@coldproof/wire';
import { addressOf, refusal, type HardFork } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { flipBit, hex } from './fixture.ts';
import { asset, assetHex, Market } from './market.ts';

async function opened(t: Test, hardFork: HardFork = 'osaka'): Promise<Market> {
  const market = await Market.open({ hardFork });
  t.teardown(() => market.stop());
  return market;
}

const old = new VoyageDevice(1);
const next = new VoyageDevice(2);
const other = new VoyageDevice(3);

const bytes = (address: string): Uint8Array => hexToBytes(address.slice(2));
const pair = (signature: Uint8Array): string[] => [hex(signature.subarray(0, 32)), hex(signature.subarray(32))];

type Consent = { chainId?: number; registry?: string; successor?: VoyageDevice; fromSec?: number; by?: VoyageDevice };

function consentOf(market: Market, fromSec: number, change: Consent = {}): Uint8Array {
  const encoded = encodeRotation({
    chainId: change.chainId ?? market.chain.chainId,
    registry: bytes(change.registry ?? addressOf(market.contracts.registry)),
    successor: (change.successor ?? next).device,
    fromSec: change.fromSec ?? fromSec,
  });
  return (change.by ?? old).sign(rotationPreimage(encoded));
}

/** The successor's own consent: that of an enrolment. */
function possession(market: Market, device = next): string[] {
  return market.enrolment(device, 'carrier').slice(-2) as string[];
}

function rotation(market: Market, fromSec: number, change: Consent = {}): unknown[] {
  const key = [hex(next.publicKey.subarray(0, 32)), hex(next.publicKey.subarray(32))];
  return [hex(old.device), fromSec, ...key, pair(consentOf(market, fromSec, change)), possession(market)];
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`the successor has the old one's place from a second on, on ${hardFork}`, async (t) => {
    const market = await opened(t, hardFork);
    await market.enrol(old);
    const fromSec = (await market.chain.nowSec()) + 100;
    const { events } = await market.send('carrier', 'registry', 'rotate', rotation(market, fromSec));
    const by = { owner: market.address('carrier') };
    t.match(events, [
      { name: 'DeviceEnrolled', args: { ...by, device: hex(next.device), validFrom: BigInt(fromSec) } },
      { name: 'DeviceRevoked', args: { ...by, device: hex(old.device), revokedFrom: BigInt(fromSec) } },
      { name: 'DeviceRotated', args: { ...by, device: hex(old.device), successor: hex(next.device) } },
    ]);
    t.equal(await market.call('registry', 'successorOf', [hex(old.device)]), hex(next.device));
    const known = async (device: VoyageDevice) =>
      ((await market.call('registry', 'deviceOf', [hex(device.device)])) as { toObject(): object }).toObject();
    const before = await known(old);
    const key = { x: hex(next.publicKey.subarray(0, 32)), y: hex(next.publicKey.subarray(32)) };
    const validity = { validFrom: BigInt(fromSec), revokedFrom: 0xffff_ffffn };
    t.same(await known(next), { ...before, ...key, ...validity }, 'owner, asset and calibration are taken over');
    const isValid = (device: VoyageDevice, from: number, until: number) =>
      market.call('registry', 'isValidDuring', [hex(device.device), from, until]);
    t.same(
      [await isValid(old, fromSec - 1, fromSec - 1), await isValid(old, fromSec - 1, fromSec)],
      [true, false],
      'the old one until then',
    );
    t.same([await isValid(next, fromSec - 1, fromSec), await isValid(next, fromSec, fromSec + 1)], [false, true]);
  });
}

t.test('consent to something else, by somebody else, or by its twin', async (t) => {
  const market = await opened(t);
  await market.enrol(old);
  const fromSec = await market.chain.nowSec();
  const attempt = (args: unknown[]) => refusal(market.send('carrier', 'registry', 'rotate', args));
  const consents: readonly [string, Consent][] = [
    ['another chain', { chainId: 1 }],
    ['another registry', { registry: addressOf(market.contracts.fleet) }],
    ['another successor', { successor: other }],
    ['another time', { fromSec: fromSec + 1 }],
    ['the new key in place of the old', { by: next }],
    ['a stranger', { by: other }],
  ];
  for (const [what, change] of consents) {
    t.equal((await attempt(rotation(market, fromSec, change)))?.reason, 'RotationConsentInvalid', what);
  }
  const good = rotation(market, fromSec);
  const consent = consentOf(market, fromSec);
  for (const signature of [highTwin(consent), flipBit(consent, 100)]) {
    t.equal((await attempt(good.with(4, pair(signature))))?.reason, 'RotationConsentInvalid');
  }
  t.equal((await attempt(good.with(4, good[5])))?.reason, 'RotationConsentInvalid', 'an enrolment is no rotation');
  for (const signature of [possession(market, other), pair(consent)]) {
    t.equal((await attempt(good.with(5, signature)))?.reason, 'ConsentInvalid', 'the successor has not signed');
  }
  t.equal(await attempt(good), undefined, 'and the very same with the right ones is taken');
});

t.test('who may not rotate what, and when not', async (t) => {
  const market = await opened(t);
  const enrolledSec = (await market.chain.nowSec()) + 10;
  const attempt = (args: unknown[], by: 'carrier' | 'stranger' = 'carrier') =>
    refusal(market.send(by, 'registry', 'rotate', args));
  t.equal((await attempt(rotation(market, enrolledSec)))?.reason, 'DeviceUnknown');
  await market.enrol(old);
  const nowSec = await market.chain.nowSec();
  t.equal((await attempt(rotation(market, nowSec), 'stranger'))?.reason, 'NotDeviceOwner');
  t.equal((await attempt(rotation(market, enrolledSec - 1_000)))?.reason, 'RotationBeforeEnrolment');
  const good = rotation(market, nowSec + 50);
  t.equal((await attempt(good.with(3, good[2])))?.reason, 'KeyNotOnCurve');
  await market.enrol(other);
  const known = [hex(other.publicKey.subarray(0, 32)), hex(other.publicKey.subarray(32))];
  const toKnown = [...good.slice(0, 2), ...known, ...good.slice(4)];
  t.equal((await attempt(toKnown))?.reason, 'DeviceAlreadyEnrolled', 'a key that is enrolled already');
  await market.send('carrier', 'registry', 'revoke', [hex(old.device), nowSec + 50]);
  t.equal((await attempt(good))?.reason, 'RevocationNotEarlier', 'at its revocation or after');
  t.equal(await attempt(rotation(market, nowSec + 49)), undefined, 'before it');
  t.equal((await attempt(rotation(market, nowSec + 48)))?.reason, 'DeviceAlreadyRotated', 'a second successor');
  const again = market.enrolment(next, 'carrier');
  t.equal((await refusal(market.send('carrier', 'registry', 'enrol', again)))?.reason, 'DeviceAlreadyEnrolled');
  t.equal(assetHex(asset).length, 24);
});
