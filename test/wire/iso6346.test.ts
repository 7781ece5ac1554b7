import t from 'tap';
import { encodeEnrolment, isContainerNumber } from '@coldproof/wire';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';

t.test('ISO 6346 check digits', { skip: skipWithoutVectors }, (t) => {
  const vectors = vectorJson('iso6346/iso6346.json') as { valid: string[]; invalid: { id: string; why: string }[] };
  t.equal(vectors.valid.length, 4);
  for (const number of vectors.valid) t.ok(isContainerNumber(number), number);
  t.equal(vectors.invalid.length, 3);
  for (const { id, why } of vectors.invalid) t.notOk(isContainerNumber(id), `${id}: ${why}`);
  t.end();
});

t.test('any one wrong digit is found', (t) => {
  const number = 'CSQU3054383';
  for (let at = 4; at < 11; at++) {
    for (let digit = 0; digit < 10; digit++) {
      const wrong = number.slice(0, at) + String(digit) + number.slice(at + 1);
      if (wrong !== number && isContainerNumber(wrong)) t.fail(wrong);
    }
  }
  t.notOk(isContainerNumber(' CSQU3054383'));
  t.notOk(isContainerNumber('CSQX3054383'), 'X is no equipment category');
  t.throws(
    () =>
      encodeEnrolment({ chainId: 1, registry: new Uint8Array(20), owner: new Uint8Array(20), asset: 'CSQU3054384' }),
    {
      message: 'asset: expected an ISO 6346 container number, got "CSQU3054384"',
    },
  );
  t.end();
});
