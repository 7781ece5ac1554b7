import t from 'tap';
import { verifyInclusion } from '@coldproof/wire';
import { skipWithoutVectors, vectorFiles, vectorJson } from '../helpers/vectors.ts';

type Case = {
  leafIdx: number;
  treeSize: number;
  root: string | null;
  leafHash: string | null;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
};

t.test('transparency-dev/merkle inclusion vectors', { skip: skipWithoutVectors }, (t) => {
  const count = { accepted: 0, refused: 0 };
  for (const file of vectorFiles('merkle/inclusion')) {
    const { leafIdx, treeSize, root, leafHash, proof, desc, wantErr } = vectorJson(file) as Case;
    const path = (proof ?? []).map(fromBase64);
    const isIncluded = verifyInclusion(fromBase64(leafHash), leafIdx, treeSize, path, fromBase64(root));
    if (isIncluded === wantErr) t.fail(`${file} (${desc}): expected ${wantErr ? 'refused' : 'accepted'}`);
    count[isIncluded ? 'accepted' : 'refused'] += 1;
  }
  t.same(count, { accepted: 6, refused: 92 });
  t.end();
});

function fromBase64(text: string | null): Uint8Array {
  return Uint8Array.from(Buffer.from(text ?? '', 'base64'));
}
