/**
 * One verdict on a device's signature, whoever is asked: the contracts with the precompile (Osaka) and without it
 * (Prague), node:crypto with the low-s rule, and the reference of wire/.
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Contract } from 'ethers';
import { concatBytes, hexToBytes, isLowS, referenceCrypto, toLowS } from '@coldproof/wire';
import { call, deploy, startChain } from '../helpers/chain.ts';
import { seeded, type Random } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { flipBit, hex } from './fixture.ts';

type Wycheproof = {
  testGroups: {
    publicKey: { wx: string; wy: string };
    tests: { tcId: number; comment: string; msg: string; sig: string; result: 'valid' | 'invalid' }[];
  }[];
};

/** `publicKey` is x ‖ y, `signature` r ‖ s; `want` where a test set says so. */
type Question = {
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly want?: boolean;
};

const mutantCount = 2_400;
/** Without the precompile one check takes some 230,000 gas of a call's 30,000,000. */
const callSize = 100;

const groupOrder = hexToBytes('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
const fieldPrime = hexToBytes('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff');
/** (n - 1) / 2: the largest s that is low. */
const halfOrder = hexToBytes('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8');
const zero = new Uint8Array(32);

const verifiers = {
  reference: ({ publicKey, message, signature }: Question): boolean =>
    signature.length === 64 && isLowS(signature) && referenceCrypto.verifyP256(publicKey, message, signature),
  node: ({ publicKey, message, signature }: Question): boolean => {
    const key = openKey(publicKey);
    if (key === undefined || signature.length !== 64 || !isLowS(signature)) return false;
    return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
  },
};

/** Undefined for what is no point of the curve: OpenSSL says so when it reads the key. */
function openKey(publicKey: Uint8Array): KeyObject | undefined {
  const coordinateOf = (half: Uint8Array): string => Buffer.from(half).toString('base64url');
  const [x, y] = [coordinateOf(publicKey.subarray(0, 32)), coordinateOf(publicKey.subarray(32))];
  try {
    return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/** A contract's r and s are 32 bytes each: a signature of another length cannot be asked about, and is none. */
async function contractVerdicts(probe: Contract, questions: readonly Question[]): Promise<boolean[]> {
  const verdicts: boolean[] = [];
  for (let from = 0; from < questions.length; from += callSize) {
    const chunk = questions.slice(from, from + callSize);
    const asked = chunk.filter(({ signature }) => signature.length === 64);
    const args = asked.map(({ publicKey, message, signature }) => ({
      message: hex(referenceCrypto.sha256(message)),
      r: hex(signature.subarray(0, 32)),
      s: hex(signature.subarray(32)),
      x: hex(publicKey.subarray(0, 32)),
      y: hex(publicKey.subarray(32)),
    }));
    const answers = [...((await call(probe, 'verifySignatures', [args])) as boolean[])];
    verdicts.push(...chunk.map(({ signature }) => signature.length === 64 && answers.shift()!));
  }
  return verdicts;
}

type Probes = { readonly osaka: Contract; readonly prague: Contract };

async function openProbes(t: Test): Promise<Probes> {
  const open = async (hardFork: 'osaka' | 'prague'): Promise<Contract> => {
    const chain = await startChain({ hardFork });
    t.teardown(() => chain.stop());
    return deploy(await chain.account(0), 'ProofProbe');
  };
  return { osaka: await open('osaka'), prague: await open('prague') };
}

/** All four verdicts, and the test set's where there is one, are the same. Returns how many were accepted. */
async function compare(t: Test, probes: Probes, questions: readonly Question[]): Promise<number> {
  const verdicts = {
    osaka: await contractVerdicts(probes.osaka, questions),
    prague: await contractVerdicts(probes.prague, questions),
    node: questions.map(verifiers.node),
    reference: questions.map(verifiers.reference),
  };
  questions.forEach(({ name, want: stated }, i) => {
    const want = stated ?? verdicts.reference[i];
    const got = Object.entries(verdicts).map(([who, each]) => [who, each[i]] as const);
    if (got.some(([, verdict]) => verdict !== want)) t.fail(`${i} ${name}: expected ${want}`, { got });
  });
  return verdicts.reference.filter(Boolean).length;
}

t.test('device signatures', async (t) => {
  const probes = await openProbes(t);

  await t.test('ecdsa_secp256r1_sha256_p1363, and its low twins', { skip: skipWithoutVectors }, async (t) => {
    const file = vectorJson('wycheproof/ecdsa_secp256r1_sha256_p1363_test.json') as Wycheproof;
    const count = { valid: 0, invalid: 0, highS: 0 };
    const questions: Question[] = [];
    for (const { publicKey: point, tests } of file.testGroups) {
      const publicKey = concatBytes(coordinate(point.wx), coordinate(point.wy));
      for (const { tcId, comment, msg, sig, result } of tests) {
        const question = { name: `tcId ${tcId} ${comment}`, publicKey, message: hexToBytes(msg) };
        const signature = hexToBytes(sig);
        const isHigh = result === 'valid' && !isLowS(signature);
        count[result] += 1;
        questions.push({ ...question, signature, want: result === 'valid' && !isHigh });
        if (!isHigh) continue;
        count.highS += 1;
        questions.push({ ...question, signature: toLowS(signature), want: true });
      }
    }
    t.same(count, { valid: 173, invalid: 89, highS: 70 });
    t.equal(await compare(t, probes, questions), 173, 'each valid signature, in its low form');
  });

  await t.test(`${mutantCount} tampered ones`, async (t) => {
    const random = seeded(t, 7_951);
    const questions = Array.from({ length: mutantCount }, () => makeMutant(random));
    const accepted = await compare(t, probes, questions);
    const met = new Set(questions.map(({ name }) => name));
    t.equal(met.size, Object.keys(mutations).length, 'each way to tamper was met');
    t.ok(accepted > mutantCount / 10 && accepted < mutantCount / 2, `${accepted} accepted`);
  });
});

type Signed = Omit<Question, 'name'>;

const mutations: Record<string, (signed: Signed, random: Random) => Partial<Signed>> = {
  honest: () => ({}),
  honestLong: (_, random) => {
    const device = new VoyageDevice(random.integer(1, 9));
    const message = random.bytes(random.integer(0, 300));
    return { publicKey: device.publicKey, message, signature: device.sign(message) };
  },
  signature: ({ signature }, random) => ({ signature: flipBit(signature, random.integer(0, 511)) }),
  message: ({ message }, random) => ({ message: flipBit(message, random.integer(0, message.length * 8 - 1)) }),
  publicKey: ({ publicKey }, random) => ({ publicKey: flipBit(publicKey, random.integer(0, 511)) }),
  otherKey: () => ({ publicKey: new VoyageDevice(77).publicKey }),
  /** (x, p - y) is on the curve too. */
  keyMirrored: ({ publicKey }) => ({
    publicKey: concatBytes(publicKey.subarray(0, 32), minus(fieldPrime, publicKey.subarray(32))),
  }),
  keyAtInfinity: () => ({ publicKey: new Uint8Array(64) }),
  keyOverPrime: ({ publicKey }) => ({ publicKey: concatBytes(fieldPrime, publicKey.subarray(32)) }),
  highTwin: ({ signature }) => ({ signature: highTwin(signature) }),
  halvesSwapped: ({ signature }) => ({ signature: concatBytes(signature.subarray(32), signature.subarray(0, 32)) }),
  edges: ({ signature }, random) => {
    const edge = (): Uint8Array =>
      random.pick([zero, one, halfOrder, plusOne(halfOrder), minus(groupOrder, one), groupOrder, fieldPrime, ones]);
    const [r, s] = [signature.subarray(0, 32), signature.subarray(32)];
    return { signature: random.pick([concatBytes(edge(), s), concatBytes(r, edge()), concatBytes(edge(), edge())]) };
  },
  random: (_, random) => ({ signature: random.bytes(64) }),
};

const one = Uint8Array.from(zero, (_, i) => (i === 31 ? 1 : 0));
const ones = new Uint8Array(32).fill(0xff);

function makeMutant(random: Random): Question {
  const device = new VoyageDevice(random.integer(1, 9));
  const message = random.bytes(40);
  const signed = { publicKey: device.publicKey, message, signature: device.sign(message) };
  const name = random.pick(Object.keys(mutations));
  return { name, ...signed, ...mutations[name]!(signed, random) };
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(hex(bytes));
}

function bytesOf(value: bigint): Uint8Array {
  return hexToBytes(value.toString(16).padStart(64, '0'));
}

function minus(a: Uint8Array, b: Uint8Array): Uint8Array {
  return bytesOf(numberOf(a) - numberOf(b));
}

function plusOne(a: Uint8Array): Uint8Array {
  return bytesOf(numberOf(a) + 1n);
}

/** Wycheproof writes coordinates with a leading zero byte, or without their own. */
function coordinate(text: string): Uint8Array {
  return hexToBytes(text.slice(-64).padStart(64, '0'));
}
