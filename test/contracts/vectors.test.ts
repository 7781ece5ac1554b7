/** The RFC 9162 inclusion set through the contracts' own library. */
import t from 'tap';
import { call, deploy, startChain } from '../helpers/chain.ts';
import { skipWithoutVectors, vectorFiles, vectorJson } from '../helpers/vectors.ts';
import { hex } from './fixture.ts';

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
