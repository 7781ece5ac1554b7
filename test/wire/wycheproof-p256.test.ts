import t from 'tap';
import { concatBytes, hexToBytes, isLowS, isP256Point, referenceCrypto, toLowS } from '@coldproof/wire';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';

type Wycheproof = {
  numberOfTests: number;
  testGroups: {
    publicKey: { wx: string; wy: string };
    tests: { tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }[];
  }[];
};

t.test('ecdsa_secp256r1_sha256_p1363', { skip: skipWithoutVectors }, (t) => {
  const file = vectorJson('wycheproof/ecdsa_secp256r1_sha256_p1363_test.json') as Wycheproof;
  const count = { valid: 0, invalid: 0, highS: 0 };
  for (const { publicKey, tests } of file.testGroups) {
    const key = concatBytes(coordinate(publicKey.wx), coordinate(publicKey.wy));
    if (!isP256Point(key)) t.fail('the public key is on the curve');
    for (const { tcId, comment, msg, sig, result } of tests) {
      const signature = hexToBytes(sig);
      const isValid = referenceCrypto.verifyP256(key, hexToBytes(msg), signature);
      if (isValid !== (result === 'valid')) t.fail(`tcId ${tcId} ${comment}: expected ${result}`);
      count[result] += 1;
      if (result !== 'valid' || isLowS(signature)) continue;
      count.highS += 1;
      const twin = toLowS(signature);
      if (!isLowS(twin) || !referenceCrypto.verifyP256(key, hexToBytes(msg), twin))
        t.fail(`tcId ${tcId}: its low-s twin`);
    }
  }
  t.same(count, { valid: 173, invalid: 89, highS: 70 });
  t.equal(file.numberOfTests, 262);
  t.end();
});

/** Wycheproof writes coordinates with a leading zero byte, or without their own. */
function coordinate(hex: string): Uint8Array {
  return hexToBytes(hex.slice(-64).padStart(64, '0'));
}
