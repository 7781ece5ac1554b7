/** Wycheproof P-256 and the RFC 9162 inclusion set through the contracts' own libraries. */
import t from 'tap';
import { hexToBytes, isLowS, referenceCrypto, toLowS } from '@coldproof/wire';
import { call, deploy, startChain } from '../helpers/chain.ts';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorFiles, vectorJson } from '../helpers/vectors.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { flipBit, hex } from './fixture.ts';

type Wycheproof = {
  testGroups: {
    publicKey: { wx: string; wy: string };
    tests: { tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }[];
  }[];
};

const mutatedCount = 400;

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`ecdsa_secp256r1_sha256_p1363 on ${hardFork}`, { skip: skipWithoutVectors }, async (t) => {
    const chain = await startChain({ hardFork });
    t.teardown(() => chain.stop());
    const probe = await deploy(await chain.account(0), 'EvidenceProbe');
    const verify = (message: string, signature: Uint8Array, key: readonly string[]): Promise<unknown> => {
      const digest = hex(referenceCrypto.sha256(hexToBytes(message)));
      return call(probe, 'verifySignature', [
        digest,
        hex(signature.subarray(0, 32)),
        hex(signature.subarray(32)),
        ...key,
      ]);
    };
    const file = vectorJson('wycheproof/ecdsa_secp256r1_sha256_p1363_test.json') as Wycheproof;
    const count = { valid: 0, invalid: 0, highS: 0, notOf64Bytes: 0 };
    for (const { publicKey, tests } of file.testGroups) {
      const key = [publicKey.wx, publicKey.wy].map((each) => `0x${each.slice(-64).padStart(64, '0')}`);
      for (const { tcId, comment, msg, sig, result } of tests) {
        count[result] += 1;
        const signature = hexToBytes(sig);
        // r and s are 32 bytes each in the contract's arguments: other lengths cannot be asked for.
        if (signature.length !== 64) {
          count.notOf64Bytes += 1;
          if (result === 'valid') t.fail(`tcId ${tcId}: valid, yet not 64 bytes`);
          continue;
        }
        const expected = result === 'valid' && isLowS(signature);
        if ((await verify(msg, signature, key)) !== expected) t.fail(`tcId ${tcId} ${comment}: expected ${expected}`);
        if (result !== 'valid' || isLowS(signature)) continue;
        count.highS += 1;
        if ((await verify(msg, toLowS(signature), key)) !== true) t.fail(`tcId ${tcId}: its low-s twin`);
      }
    }
    t.comment(JSON.stringify(count));
    t.match(count, { valid: 173, invalid: 89, highS: 70 });
  });

  t.test(`mutated signatures on ${hardFork} agree with the reference`, async (t) => {
    const chain = await startChain({ hardFork });
    t.teardown(() => chain.stop());
    const probe = await deploy(await chain.account(0), 'EvidenceProbe');
    const random = seeded(t, 7951);
    const device = new VoyageDevice(1);
    let accepted = 0;
    for (let i = 0; i < mutatedCount; i++) {
      const message = random.bytes(40);
      const signature = mutate(device.sign(message), random.next(), random.integer(0, 511));
      const publicKey = random.next() < 0.1 ? flipBit(device.publicKey, random.integer(0, 511)) : device.publicKey;
      const expected = isLowS(signature) && referenceCrypto.verifyP256(publicKey, message, signature);
      const digest = hex(referenceCrypto.sha256(message));
      const args = [
        signature.subarray(0, 32),
        signature.subarray(32),
        publicKey.subarray(0, 32),
        publicKey.subarray(32),
      ];
      const got = await call(probe, 'verifySignature', [digest, ...args.map(hex)]);
      if (got !== expected) t.fail(`case ${i}: ${hex(signature)}`);
      if (expected) accepted += 1;
    }
    t.ok(accepted > 50 && accepted < mutatedCount - 50, `${accepted} of ${mutatedCount} accepted`);
  });
}

function mutate(signature: Uint8Array, chance: number, bit: number): Uint8Array {
  return chance < 0.4 ? signature : flipBit(signature, bit);
}

type InclusionCase = {
  leafIdx: number;
  treeSize: number;
  root: string | null;
  leafHash: string | null;
  proof: string[] | null;
  wantErr: boolean;
};

t.test('RFC 9162 inclusion proofs', { skip: skipWithoutVectors }, async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const probe = await deploy(await chain.account(0), 'EvidenceProbe');
  const count = { accepted: 0, refused: 0, notDigests: 0 };
  for (const path of vectorFiles('merkle/inclusion')) {
    const { leafIdx, treeSize, root, leafHash, proof, wantErr } = vectorJson(path) as InclusionCase;
    const digests = [leafHash, root, ...(proof ?? [])].map((each) =>
      Uint8Array.from(Buffer.from(each ?? '', 'base64')),
    );
    if (digests.some((each) => each.length !== 32)) {
      // What is not 32 bytes has no place in the contract's arguments.
      count.notDigests += 1;
      t.equal(wantErr, true, path);
      continue;
    }
    const [leaf, want, ...nodes] = digests.map(hex);
    const got = await call(probe, 'verifyInclusion', [leaf, BigInt(leafIdx), BigInt(treeSize), nodes, want]);
    if (got === wantErr) t.fail(path);
    count[wantErr ? 'refused' : 'accepted'] += 1;
  }
  t.comment(JSON.stringify(count));
  t.equal(count.accepted, 6);
  t.equal(count.accepted + count.refused + count.notDigests, 98);
});
