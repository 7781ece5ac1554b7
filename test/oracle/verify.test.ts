/** OpenSSL in threads must give the verdicts of wire's reference, on vectors and on whatever an adversary may send. */
import t from 'tap';
import {
  bytesToHex,
  clockSkewSecMax,
  encodeBatch,
  encodeEnvelope,
  envelopePreimage,
  flags,
  hexToBytes,
  isLowS,
  leafHash,
  referenceCrypto,
  toLowS,
} from '@coldproof/wire';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import type { DeviceRecord } from '@coldproof/oracle/verify';
import { verifyPool } from '@coldproof/oracle/verify-pool';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { compareMutated, mutated } from './mutated-envelopes.ts';

const nowSec = 1_767_225_600;
const openssl = opensslCrypto();

type Wycheproof = {
  testGroups: {
    publicKey: { uncompressed: string };
    tests: { msg: string; sig: string; result: string; tcId: number }[];
  }[];
};

t.test('Wycheproof P-256: OpenSSL, the reference and the file agree', { skip: skipWithoutVectors }, (t) => {
  const { testGroups } = vectorJson('wycheproof/ecdsa_secp256r1_sha256_p1363_test.json') as Wycheproof;
  let cases = 0;
  let high = 0;
  for (const { publicKey, tests } of testGroups) {
    const key = hexToBytes(publicKey.uncompressed).subarray(1);
    for (const { msg, sig, result, tcId } of tests) {
      const [message, signature] = [hexToBytes(msg), hexToBytes(sig)];
      const isValid = openssl.verifyP256(key, message, signature);
      if (isValid !== (result === 'valid')) t.fail(`case ${tcId}: file says ${result}, OpenSSL ${isValid}`);
      if (isValid !== referenceCrypto.verifyP256(key, message, signature)) t.fail(`case ${tcId}: the two disagree`);
      if (isValid && !isLowS(signature)) {
        high += 1;
        if (!openssl.verifyP256(key, message, toLowS(signature))) t.fail(`case ${tcId}: its lower twin is valid too`);
      }
      cases += 1;
    }
  }
  t.equal(cases, 262);
  t.equal(high, 70);
  t.end();
});

t.test('keys that are no points are refused by both', (t) => {
  const random = seeded(t, 11);
  const device = new VoyageDevice(1);
  const message = new Uint8Array(10);
  const signature = device.sign(message);
  for (let i = 0; i < 200; i++) {
    const key = i === 0 ? new Uint8Array(64) : mutated(device.publicKey, random);
    const isSame = bytesToHex(key) === bytesToHex(device.publicKey);
    if (openssl.verifyP256(key, message, signature) !== isSame) t.fail(`key ${bytesToHex(key)}`);
    if (referenceCrypto.verifyP256(key, message, signature) !== isSame) t.fail(`reference: key ${bytesToHex(key)}`);
  }
  t.notOk(openssl.verifyP256(device.publicKey.subarray(1), message, signature));
  t.notOk(openssl.verifyP256(device.publicKey, message, signature.subarray(1)));
  t.ok(openssl.verifyP256(device.publicKey, message, signature));
  t.end();
});

t.test('4,000 mutated envelopes: the threads and the reference say the same, in order', async (t) => {
  const { differing, reasons } = await compareMutated(4_000, seeded(t, 262));
  t.same(differing, []);
  t.comment(JSON.stringify(Object.fromEntries(reasons)));
  t.ok((reasons.get('ok') ?? 0) > 20);
  for (const reason of ['envelope-malformed', 'root-mismatch', 'signature-invalid', 'batch-malformed']) {
    t.ok((reasons.get(reason) ?? 0) > 10, reason);
  }
});

t.test('each reason is given, and the first that applies', async (t) => {
  const [device, other, revoked] = [5, 6, 7].map((seed) => new VoyageDevice(seed)) as [
    VoyageDevice,
    VoyageDevice,
    VoyageDevice,
  ];
  const records = new Map<string, DeviceRecord>([
    [bytesToHex(device.device), { publicKey: device.publicKey }],
    [bytesToHex(other.device), { publicKey: other.publicKey }],
    [bytesToHex(revoked.device), { publicKey: revoked.publicKey, revokedFromSec: nowSec - 60 }],
  ]);
  const pool = verifyPool({ workers: 1, devices: (name) => records.get(name), nowSec: () => nowSec });
  t.teardown(() => pool.close());
  const verdictOf = async (topic: VoyageDevice, bytes: Uint8Array): Promise<string> => {
    const [verdict] = await pool.verify([{ device: topic.device, bytes }]);
    return verdict!.ok ? 'ok' : verdict!.reason;
  };
  const sealed = (by: VoyageDevice, lastSec: number, flagBits = 0) =>
    by.seal([regularSeries(1, lastSec - 60, [1, 2])], flagBits);
  const honest = sealed(device, nowSec);
  t.equal(await verdictOf(device, encodeEnvelope(honest)), 'ok');
  t.equal(await verdictOf(new VoyageDevice(99), encodeEnvelope(honest)), 'device-unknown');
  t.equal(await verdictOf(other, encodeEnvelope(honest)), 'topic-not-device');
  t.equal(
    await verdictOf(device, encodeEnvelope({ ...honest, signature: other.sign(honest.batch) })),
    'signature-invalid',
  );
  t.equal(
    await verdictOf(device, encodeEnvelope({ ...honest, signature: highTwin(honest.signature) })),
    'signature-not-low-s',
  );
  t.equal(await verdictOf(device, new Uint8Array(70_000)), 'envelope-too-large');
  t.equal(await verdictOf(device, new Uint8Array()), 'envelope-malformed');
  t.equal(await verdictOf(device, encodeEnvelope(sealed(device, nowSec + clockSkewSecMax))), 'ok', 'at the bound');
  t.equal(await verdictOf(device, encodeEnvelope(sealed(device, nowSec + clockSkewSecMax + 1))), 'time-in-future');
  t.equal(await verdictOf(revoked, encodeEnvelope(sealed(revoked, nowSec - 61))), 'ok', 'before the key was lost');
  t.equal(await verdictOf(revoked, encodeEnvelope(sealed(revoked, nowSec - 60))), 'device-revoked');
  t.equal(
    await verdictOf(device, encodeEnvelope(sealed(device, nowSec, flags.clockUnsynchronised))),
    'ok',
    'logged, no evidence',
  );
  t.equal(await verdictOf(device, signedLeaf(device, Uint8Array.of(0x83))), 'series-malformed');
  t.equal(await verdictOf(device, signedLeaf(device, Uint8Array.of(0x84))), 'private-malformed');
  const heartbeat = device.seal([], 0, nowSec);
  t.equal(await verdictOf(device, encodeEnvelope(heartbeat)), 'ok');
  t.same(await pool.verify([]), []);
});

/** A device's own signature over a batch whose one leaf is none. */
function signedLeaf(by: VoyageDevice, leaf: Uint8Array): Uint8Array {
  const { device } = by;
  const link = { device, sequence: 0, previous: new Uint8Array(32), firstSec: nowSec, lastSec: nowSec, flags: 0 };
  const batch = encodeBatch({ ...link, seriesCount: 1, root: leafHash(leaf) });
  return encodeEnvelope({ batch, signature: by.sign(envelopePreimage(batch)), series: [leaf] });
}

function highTwin(signature: Uint8Array): Uint8Array {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const s = order - BigInt(`0x${bytesToHex(signature.subarray(32))}`);
  return Uint8Array.from([...signature.subarray(0, 32), ...hexToBytes(s.toString(16).padStart(64, '0'))]);
}

t.test('a pool that was closed answers with an operating error, not with silence', async (t) => {
  const device = new VoyageDevice(8);
  const pool = verifyPool({ workers: 1, devices: () => ({ publicKey: device.publicKey }), nowSec: () => nowSec });
  const bytes = device.sealEncoded([regularSeries(1, nowSec - 60, [1])]);
  const asked = pool.verify(Array.from({ length: 200 }, () => ({ device: device.device, bytes })));
  const outcome = t.rejects(asked, { code: 'verify-failed' });
  await pool.close();
  await outcome;
  await t.rejects(pool.verify([{ device: device.device, bytes }]), { code: 'verify-failed' });
});
