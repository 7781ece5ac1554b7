/** What the contracts write to memory: CBOR's heads of every size, and SHA-256, also without enough gas. */
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { call, deploy, refusal, startChain, type Deployed } from '../helpers/chain.ts';
import { hex } from './fixture.ts';

async function opened(t: Test): Promise<Deployed<'EncodingProbe'>> {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  return deploy(await chain.account(0), 'EncodingProbe');
}

t.test('heads in the shortest form, to the last argument of each (RFC 8949, appendix A)', async (t) => {
  const probe = await opened(t);
  const heads: readonly (readonly [bigint, string])[] = [
    [0n, '0x00'],
    [23n, '0x17'],
    [24n, '0x1818'],
    [255n, '0x18ff'],
    [256n, '0x190100'],
    [65_535n, '0x19ffff'],
    [65_536n, '0x1a00010000'],
    [4_294_967_295n, '0x1affffffff'],
    [4_294_967_296n, '0x1b0000000100000000'],
    [18_446_744_073_709_551_615n, '0x1bffffffffffffffff'],
  ];
  for (const [argument, head] of heads) {
    t.equal(await call(probe, 'writeHead', [0, argument]), head, String(argument));
    const ofBytes = `0x${(Number(head.slice(0, 4)) | 0x40).toString(16)}${head.slice(4)}`;
    t.equal(await call(probe, 'writeHead', [0x40, argument]), ofBytes, `a byte string of ${argument}`);
  }
  const refused = await refusal(call(probe, 'writeHead', [0, 1n << 64n]));
  t.same([refused?.reason, refused?.args], ['ArgumentTooLarge', [1n << 64n]]);
});

t.test('SHA-256 is that of the bytes, and nothing is taken for it when the gas is short', async (t) => {
  const probe = await opened(t);
  for (const size of [0, 1, 31, 32, 33, 64, 1_000]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i);
    t.equal(await call(probe, 'digest', [bytes]), hex(createHash('sha256').update(bytes).digest()), `${size} bytes`);
  }
  // Of 1.5 gas a byte for the precompile, a sixty-fourth of what is left is kept: it is the contract that reverts.
  const size = 100_000;
  const data = probe.interface.encodeFunctionData('digestZeros', [size]);
  const to = await probe.getAddress();
  const provider = probe.runner!.provider!;
  const enough = await provider.estimateGas({ to, data });
  const digest = hex(createHash('sha256').update(new Uint8Array(size)).digest());
  t.equal(await provider.call({ to, data, gasLimit: enough }), digest);
  for (const gasShort of [2_000n, 5_000n, 10_000n]) {
    const short = provider.call({ to, data, gasLimit: enough - gasShort });
    await t.rejects(short, { code: 'CALL_EXCEPTION', data: '0x' }, `${gasShort} gas short`);
  }
});
