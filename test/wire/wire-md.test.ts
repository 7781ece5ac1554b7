/** WIRE.md is executed: each example block is rebuilt from the keys and values that the page states. */
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import * as wire from '@coldproof/wire';

const page = readFileSync(new URL('../../../wire/WIRE.md', import.meta.url), 'utf8');

/** ```hex NAME blocks, comments after `;` and white space taken out. */
const examples = new Map(
  [...page.matchAll(/^```(?:hex|text) ([a-z-]+)\n([\s\S]*?)^```$/gm)].map(([, name, body]) => [name!, body!] as const),
);

const deviceSecret = wire.hexToBytes('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721');
const logSecret = wire.hexToBytes('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60');
const publicKey = p256.getPublicKey(deviceSecret, false).subarray(1);
const logKey = ed25519.getPublicKey(logSecret);
const device = wire.deviceOf(publicKey);

const series = [
  { channel: wire.channels.supplyAir, marks: 0, samples: samples([310, 305, 298]) },
  { channel: wire.cargoProbe(1), marks: 0, samples: samples([487, 491, wire.faultValue(wire.cargoProbe(1))]) },
];
const chain = { device, sequence: 0, previous: wire.noPrevious, flags: 0, sealedAtSec: 0 };
const sealed = wire.sealBatch(series, chain);
const signature = p256.sign(wire.envelopePreimage(sealed.encoded), deviceSecret);
const envelope = { batch: sealed.encoded, signature, series: sealed.series };
const receipt = {
  log: wire.logOf(logKey),
  index: 1_000,
  device,
  sequence: 0,
  digest: wire.digestBatch(sealed.encoded),
};
const receiptBody = wire.encodeReceiptBody(receipt);
const signedReceipt = wire.encodeReceipt(receiptBody, ed25519.sign(wire.receiptPreimage(receiptBody), logSecret));
const dropped = { firstSec: 1_767_225_600, lastSec: 1_767_225_600 + 21_600, count: 37 };
const leaves = [wire.leafHash(receipt.digest)];
const checkpoint = { origin: 'coldproof.example/log', size: 1, root: wire.merkleRoot(leaves) };
const checkpointText = wire.formatCheckpoint(checkpoint);
const note = wire.formatSignedCheckpoint(
  checkpoint,
  logKey,
  ed25519.sign(wire.checkpointPreimage(checkpointText), logSecret),
);
const enrolment = wire.encodeEnrolment({
  chainId: 31_337,
  registry: new Uint8Array(20).fill(0x11),
  owner: new Uint8Array(20).fill(0x22),
  asset: 'CSQU3054383',
});
const rotation = wire.encodeRotation({
  chainId: 31_337,
  registry: new Uint8Array(20).fill(0x11),
  successor: device,
  fromSec: 1_767_225_600,
});

const domain = {
  chainId: 31_337,
  oracleSet: new Uint8Array(20).fill(0x55),
  config: new Uint8Array(32).fill(0x33),
};
const report: wire.Report = {
  cryptlet: new Uint8Array(32).fill(0xc1),
  consumer: new Uint8Array(20).fill(0x66),
  subject: 7n,
  sequence: 1,
  deadlineSec: 1_767_312_000,
  payload: wire.hexToBytes((1_767_225_660).toString(16).padStart(64, '0')),
};
const reportDigest = wire.digestReport(domain, report);
const attestation = wire.signDigest(reportDigest, wire.hexToBytes('1'.padStart(64, '0')));
const { cryptlet, subject, sequence, deadlineSec } = report;
const peerBody = wire.encodePeerBody({
  config: domain.config,
  node: receipt.log,
  content: {
    ...{ kind: 'attestation', cryptlet, subject, sequence, deadlineSec },
    ...{ digest: reportDigest, signature: attestation },
  },
});
const peerMessage = wire.encodePeerMessage(peerBody, ed25519.sign(wire.peerPreimage(peerBody), logSecret));
const witness = { name: 'witness.example', publicKey: logKey };
const cosignedSec = 1_767_226_500;
const cosignature = wire.formatCosignature(
  witness,
  cosignedSec,
  ed25519.sign(wire.cosignaturePreimage(checkpointText, cosignedSec), logSecret),
);
const reportFields = 'bytes32 config,bytes32 cryptlet,address consumer,uint256 subject,uint64 sequence,uint32 deadline';
const types = `Report(${reportFields},bytes payload)
Checkpoint(bytes32 config,bytes32 origin,uint64 size,bytes32 root)
`;
const ownerConfig = { device, number: 1, settings: '{"sealSamplesMax":30}' };
const configBody = wire.encodeOwnerConfig(ownerConfig);
const configSignature = ed25519.sign(wire.ownerPreimage('config', logKey, configBody), logSecret);
const config = wire.encodeOwnerMessage(configBody, logKey, configSignature);
const ownerCommand = {
  ...{ device, id: new Uint8Array(16).fill(0x33), expiresSec: 1_767_312_000 },
  ...{ name: 'set-sampling-period' as const, argument: 30 },
};
const commandBody = wire.encodeOwnerCommand(ownerCommand);
const commandSignature = p256.sign(wire.ownerPreimage('command', publicKey, commandBody), deviceSecret);
const command = wire.encodeOwnerMessage(commandBody, publicKey, commandSignature);

// RFC 7748 §6.1, Bob.
const bobSecret = wire.hexToBytes('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
const bob = wire.hexToBytes('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
const place = { device, sequence: 0, firstSec: 1_767_225_600 };
const hidden = wire.sealPrivate([series[1]!], place, [bob], new Uint8Array(32).fill(0x44));

function samples(values: readonly number[]): wire.Sample[] {
  return values.map((value, i) => ({ timeSec: 1_767_225_600 + 60 * i, value }));
}

t.test('the page shows each message as the code makes it', (t) => {
  const made = {
    device,
    series: sealed.series[0]!,
    private: hidden,
    dropped: wire.encodeSeries(wire.droppedSeries(dropped), dropped.firstSec),
    batch: sealed.encoded,
    'batch-digest': wire.digestBatch(sealed.encoded),
    'envelope-preimage': wire.envelopePreimage(sealed.encoded),
    envelope: wire.encodeEnvelope(envelope),
    receipt: signedReceipt,
    'report-preimage': wire.reportPreimage(domain, report),
    'report-digest': reportDigest,
    attestation,
    'anchor-digest': wire.digestAnchor(domain, { log: receipt.log, ...checkpoint }),
    'peer-message': peerMessage,
    enrolment,
    config,
    command,
    rotation,
  };
  for (const [name, bytes] of Object.entries(made)) {
    const shown = (examples.get(name) ?? '').replaceAll(/;.*$/gm, '').replaceAll(/\s/g, '');
    t.equal(shown, wire.bytesToHex(bytes), name);
  }
  const texts = { checkpoint: note, cosignature, types };
  for (const [name, text] of Object.entries(texts)) t.equal(examples.get(name), text, name);
  // Compressors differ in what they make of the same bytes; what it inflates to does not.
  const deflated = (examples.get('envelope-deflated') ?? '').replaceAll(/;.*$/gm, '').replaceAll(/\s/g, '');
  t.equal(Number.parseInt(deflated.slice(0, 2), 16), wire.deflatedMark);
  t.same(new Uint8Array(inflateRawSync(Buffer.from(deflated.slice(2), 'hex'))), made.envelope, 'envelope-deflated');
  t.same(
    [...examples.keys()].sort(),
    [...Object.keys(made), ...Object.keys(texts), 'envelope-deflated'].sort(),
    'no example is left out',
  );
  t.end();
});

t.test('the page states the limits as the code has them', (t) => {
  for (const [, name, figure] of page.matchAll(/^\| `(\w+)` \| ([\d ]+) \|/gm)) {
    const limit = (wire as unknown as Record<string, unknown>)[name!];
    t.equal(limit, Number(figure!.replaceAll(' ', '')), name!);
  }
  for (const tag of Object.values(wire.domainTags)) t.ok(page.includes(`\`${tag}\``), tag);
  for (const [name, channel] of Object.entries(wire.channels)) {
    t.ok(page.includes(`| ${channel} | \`${wire.channelName(channel)}\` |`), name);
  }
  t.end();
});

t.test('what is shown is also accepted', (t) => {
  const decoded = wire.decodeEnvelope(wire.encodeEnvelope(envelope));
  t.ok(decoded.ok && wire.openEnvelope(decoded.value).ok && wire.verifyEnvelope(decoded.value, publicKey).ok);
  const leaf = wire.decodePrivate(hidden);
  const inside = leaf.ok ? wire.openPrivate(leaf.value, sealed.batch, bobSecret) : leaf;
  t.same(inside, wire.accept([series[1]]));
  t.same(wire.verifyReceipt(signedReceipt, logKey), wire.accept(receipt));
  t.same(wire.verifyOwnerConfig(config, logKey, device), wire.accept(ownerConfig));
  t.same(wire.verifyOwnerCommand(command, publicKey, device), wire.accept(ownerCommand));
  t.same(wire.verifyCheckpoint(note, checkpoint.origin, logKey), wire.accept(checkpoint));
  t.same(wire.verifyCosignature(note, cosignature, witness), wire.accept(cosignedSec));
  t.equal(wire.verifyCosignature(`${note}x`.replace('\n1\n', '\n2\n'), cosignature, witness).ok, false);
  const told = wire.verifyPeerMessage(peerMessage, () => logKey);
  t.ok(told.ok && told.value.content.kind === 'attestation');
  t.equal(wire.bytesToHex(wire.recoverSigner(reportDigest, attestation)!), '7e5f4552091a69125d5dfcb7b8c2659029395bdf');
  t.end();
});
