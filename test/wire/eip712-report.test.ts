/** What a quorum signs, made without ethers, against the contract that verifies it: contracts/Quorum.sol on anvil. */
import t from 'tap';
import {
  bytesToHex,
  digestAnchor,
  digestConfig,
  digestReport,
  hexToBytes,
  recoverSigner,
  signDigest,
} from '@coldproof/wire';
import { addressOfKey } from '@coldproof/wire';
import { call, refusal, send, startChain } from '../helpers/chain.ts';
import { seeded } from '../helpers/seed.ts';
import { OracleSigners, upperTwin } from '../contracts/oracle-signers.ts';

const hex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`;
const bytesOf = (text: string): Uint8Array => hexToBytes(text.slice(2).toLowerCase());

t.test('digests and signatures are those of OracleSet', async (t) => {
  const random = seeded(t, 712);
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const oracles = await OracleSigners.deploy(chain, await chain.account(0));
  const config = await oracles.config();
  const oracleSet = bytesOf(oracles.domain.verifyingContract);
  const domain = { chainId: chain.chainId, oracleSet, config: bytesOf(config.digest) };
  const signers = config.signers.map(bytesOf);
  const parts = { count: Number(config.count), signers, f: Number(config.f) };
  t.equal(hex(digestConfig(domain, parts)), config.digest, 'config');
  const secrets = oracles.keys.map(({ privateKey }) => bytesOf(privateKey));
  t.same(secrets.map(addressOfKey), signers, 'addresses');

  for (let round = 0; round < 20; round++) {
    const report = {
      cryptlet: random.bytes(32),
      consumer: random.bytes(20),
      subject: BigInt(hex(random.bytes(random.integer(1, 32)))),
      sequence: random.integer(1, 2 ** 40),
      deadlineSec: random.integer(2_000_000_000, 2 ** 32 - 1),
      payload: random.bytes(random.integer(0, 300)),
    };
    const { deadlineSec: deadline, ...fields } = report;
    const argument = { ...fields, consumer: hex(report.consumer), deadline };
    const digest = digestReport(domain, report);
    t.equal(hex(digest), await call(oracles.contract, 'digestReport', [argument]), `report ${round}`);
    const signatures = secrets.slice(0, 2).map((secret) => signDigest(digest, secret));
    t.equal(await call(oracles.contract, 'verify', [argument, signatures]), hex(digest));
    signatures.forEach((signature, i) => {
      t.same(recoverSigner(digest, signature), signers[i]);
      t.equal(recoverSigner(digest, bytesOf(upperTwin(hex(signature)))), undefined, 'the upper twin is nobody');
      const bent = Uint8Array.from(signature);
      bent[random.integer(0, 63)]! ^= 1 << random.integer(0, 7);
      t.notSame(recoverSigner(digest, bent), signers[i], 'a bent one is somebody else or nobody');
    });
    const head = { log: random.bytes(32), size: random.integer(1, 2 ** 48), root: random.bytes(32) };
    const anchor = digestAnchor(domain, head);
    const place = [head.log, head.size, head.root];
    t.equal(hex(anchor), await call(oracles.contract, 'digestCheckpoint', place), `checkpoint ${round}`);
    const quorum = secrets.slice(2).map((secret) => signDigest(anchor, secret));
    t.equal(await call(oracles.contract, 'verifyCheckpoint', [...place, quorum]), hex(anchor));
  }
});

t.test('what was signed under one configuration is worth nothing under the next', async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const oracles = await OracleSigners.deploy(chain, await chain.account(0));
  const before = await oracles.config();
  const oracleSet = bytesOf(oracles.domain.verifyingContract);
  const head = { log: new Uint8Array(32).fill(1), size: 7, root: new Uint8Array(32).fill(2) };
  const digest = digestAnchor({ chainId: chain.chainId, oracleSet, config: bytesOf(before.digest) }, head);
  const signatures = oracles.keys.slice(0, 2).map(({ privateKey }) => signDigest(digest, bytesOf(privateKey)));
  const call712 = () => call(oracles.contract, 'verifyCheckpoint', [head.log, head.size, head.root, signatures]);
  t.equal(await call712(), hex(digest));
  await send(oracles.contract, 'configure', [[...before.signers], before.f]);
  t.equal((await refusal(call712()))?.reason, 'SignerUnknown');
});
