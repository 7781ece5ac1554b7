import t, { type Test } from 'tap';
import { encodeEnrolment, enrolmentPreimage, hexToBytes } from '@coldproof/wire';
import { addressOf, refusal, startChain, deployAll, send, type HardFork } from '../helpers/chain.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { flipBit, hex } from './fixture.ts';
import { asset, assetHex, calibrationUntilSec, Market } from './market.ts';

async function opened(t: Test, hardFork: HardFork = 'osaka'): Promise<Market> {
  const market = await Market.open({ hardFork });
  t.teardown(() => market.stop());
  return market;
}

type Signing = {
  chainId?: number;
  registry?: string;
  owner?: string;
  asset?: string;
  sign?: (preimage: Uint8Array) => Uint8Array;
};

/** Arguments of enrol, with a consent to something else than what is asked for. */
function enrolment(market: Market, device: VoyageDevice, signing: Signing = {}): unknown[] {
  const bytes = (address: string): Uint8Array => hexToBytes(address.slice(2));
  const encoded = encodeEnrolment({
    chainId: signing.chainId ?? market.chain.chainId,
    registry: bytes(signing.registry ?? addressOf(market.contracts.registry)),
    owner: bytes(signing.owner ?? market.address('carrier')),
    asset: signing.asset ?? asset,
  });
  const signature = (signing.sign ?? ((preimage) => device.sign(preimage)))(enrolmentPreimage(encoded));
  const key = [hex(device.publicKey.subarray(0, 32)), hex(device.publicKey.subarray(32))];
  const calibration = [`0x${'c0'.repeat(32)}`, calibrationUntilSec];
  return [...key, assetHex(asset), ...calibration, hex(signature.subarray(0, 32)), hex(signature.subarray(32))];
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`a device is enrolled by its own consent to just that, on ${hardFork}`, async (t) => {
    const market = await opened(t, hardFork);
    const device = new VoyageDevice(1);
    const enrol = (args: unknown[]) => refusal(market.send('carrier', 'registry', 'enrol', args));
    const consents: [string, Signing][] = [
      ['another chain', { chainId: 1 }],
      ['another registry', { registry: addressOf(market.contracts.fleet) }],
      ['another owner', { owner: market.address('stranger') }],
      ['another container', { asset: 'TCNU7200794' }],
      ['another key', { sign: (preimage) => new VoyageDevice(2).sign(preimage) }],
      ['the high-s twin', { sign: (preimage) => highTwin(device.sign(preimage)) }],
      ['a tampered signature', { sign: (preimage) => flipBit(device.sign(preimage), 100) }],
    ];
    for (const [name, signing] of consents) {
      t.equal((await enrol(enrolment(market, device, signing)))?.reason, 'ConsentInvalid', name);
    }
    const { events } = await market.send('carrier', 'registry', 'enrol', enrolment(market, device));
    t.match(events, [
      { name: 'DeviceEnrolled', args: { device: hex(device.device), owner: market.address('carrier') } },
    ]);
    const known = (await market.call('registry', 'deviceOf', [hex(device.device)])) as { toObject(): unknown };
    t.match(known.toObject(), {
      owner: market.address('carrier'),
      revokedFrom: 0xffff_ffffn,
      asset: assetHex(asset),
      x: hex(device.publicKey.subarray(0, 32)),
      y: hex(device.publicKey.subarray(32)),
    });
    t.equal((await enrol(enrolment(market, device)))?.reason, 'DeviceAlreadyEnrolled', 'a second time');
    const again = enrolment(market, device, { owner: market.address('stranger') });
    t.equal((await refusal(market.send('stranger', 'registry', 'enrol', again)))?.reason, 'DeviceAlreadyEnrolled');
  });
}

t.test('a key that is no point, and a calibration that has ended', async (t) => {
  const market = await opened(t);
  const args = enrolment(market, new VoyageDevice(1));
  const fieldPrime = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff';
  const points = [
    [args[0], hex(flipBit(new VoyageDevice(1).publicKey.subarray(32), 255))],
    [`0x${'00'.repeat(32)}`, `0x${'00'.repeat(32)}`],
    [`0x${fieldPrime}`, args[1]],
    [args[0], `0x${'ff'.repeat(32)}`],
  ];
  for (const [x, y] of points) {
    const refused = await refusal(market.send('carrier', 'registry', 'enrol', [x, y, ...args.slice(2)]));
    t.equal(refused?.reason, 'KeyNotOnCurve', `${String(x)}, ${String(y)}`);
  }
  const nowSec = await market.chain.nowSec();
  const expired = await refusal(market.send('carrier', 'registry', 'enrol', args.with(4, nowSec)));
  t.equal(expired?.reason, 'CalibrationExpired');
});

t.test('ISO 6346 container numbers', { skip: skipWithoutVectors }, async (t) => {
  const market = await opened(t);
  const file = vectorJson('iso6346/iso6346.json') as { valid: string[]; invalid: { id: string }[] };
  const padded = (text: string): string => assetHex(text.padEnd(11, '\0'));
  for (const id of file.valid) t.equal(await market.call('registry', 'isContainerNumber', [padded(id)]), true, id);
  for (const { id } of file.invalid)
    t.equal(await market.call('registry', 'isContainerNumber', [padded(id)]), false, id);
  t.same([file.valid.length, file.invalid.length], [4, 3]);
});

t.test('container numbers that are none', async (t) => {
  const market = await opened(t);
  const wrong = [
    'CSQA3054383',
    'csqu3054383',
    '1SQU3054383',
    'CSQU305438:',
    'CSQU/054383',
    'CSQU305438@',
    '[SQU3054383',
    '           ',
  ];
  for (const text of wrong) t.equal(await market.call('registry', 'isContainerNumber', [assetHex(text)]), false, text);
  const args = enrolment(market, new VoyageDevice(1)).with(2, assetHex('CSQU3054384'));
  t.equal((await refusal(market.send('carrier', 'registry', 'enrol', args)))?.reason, 'AssetInvalid');
  for (const category of ['U', 'J', 'Z']) {
    const body = `CSQ${category}305438`;
    const got = await market.call('registry', 'isContainerNumber', [assetHex(`${body}${checkDigit(body)}`)]);
    t.equal(got, true, `category ${category}`);
  }
  // Check digits of consecutive serials, by the rule as ISO 6346 words it, over every remainder.
  for (let serial = 305_430; serial < 305_452; serial++) {
    const body = `CSQU${serial}`;
    for (let digit = 0; digit < 10; digit++) {
      const expected = digit === checkDigit(body);
      const got = await market.call('registry', 'isContainerNumber', [assetHex(`${body}${digit}`)]);
      if (got !== expected) t.fail(`${body}${digit}`);
    }
  }
});

/** Letters from 10 on in the order of the alphabet, leaving out 11, 22 and 33. */
function checkDigit(body: string): number {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const values = Array.from({ length: 29 }, (_, i) => i + 10).filter((value) => value % 11 !== 0);
  const sum = Array.from(body).reduce((total, each, i) => {
    const value = letters.includes(each) ? values[letters.indexOf(each)]! : Number(each);
    return total + value * 2 ** i;
  }, 0);
  return (sum % 11) % 10;
}

t.test("revocation is the owner's, and only moves back", async (t) => {
  const market = await opened(t);
  const device = new VoyageDevice(1);
  const id = hex(device.device);
  const revoke = (by: 'carrier' | 'stranger', from: number) =>
    refusal(market.send(by, 'registry', 'revoke', [id, from]));
  t.equal((await revoke('carrier', 1))?.reason, 'DeviceUnknown');
  await market.enrol(device);
  const nowSec = await market.chain.nowSec();
  t.equal((await revoke('stranger', nowSec))?.reason, 'NotDeviceOwner');
  const isValid = (from: number, until: number) => market.call('registry', 'isValidDuring', [id, from, until]);
  t.equal(await isValid(nowSec, nowSec + 1e9), true);
  t.equal(await isValid(nowSec - 1, nowSec), false, 'before enrolment');
  t.equal(await isValid(nowSec + 2, nowSec + 1), false, 'a span that runs backwards');
  await market.send('carrier', 'registry', 'revoke', [id, nowSec + 100]);
  t.same([await isValid(nowSec, nowSec + 99), await isValid(nowSec, nowSec + 100)], [true, false]);
  t.equal((await revoke('carrier', nowSec + 100))?.reason, 'RevocationNotEarlier', 'the same');
  t.equal((await revoke('carrier', nowSec + 101))?.reason, 'RevocationNotEarlier', 'later');
  t.equal(await revoke('carrier', nowSec + 50), undefined, 'earlier');
  t.equal(await isValid(nowSec, nowSec + 50), false);
  t.equal(await market.call('registry', 'isValidDuring', [hex(new VoyageDevice(2).device), nowSec, nowSec]), false);
});

t.test('a consent for one deployment is none for the next', async (t) => {
  const market = await opened(t);
  const args = enrolment(market, new VoyageDevice(1));
  const other = await startChain({ startSec: calibrationUntilSec - 1_000 });
  t.teardown(() => other.stop());
  const { registry } = await deployAll(other, { tokenName: 'FeeToken' });
  const second = await deployAll(other);
  t.not(second.registry.target, registry.target);
  const by = await other.account(2);
  const refused = await refusal(send(second.registry, 'enrol', args, { by }));
  t.equal(refused?.reason, 'ConsentInvalid');
});
