/** wire/heartbeat.ts against Heartbeat.sol: the same verdict for each named case, on both hard forks. */
import t from 'tap';
import type { Contract } from 'ethers';
import {
  decodeBatch,
  digestBatch,
  flags,
  verifyHeartbeat,
  type Batch,
  type Heartbeat,
  type HeartbeatReason,
} from '@coldproof/wire';
import { call, deploy, RevertError, startChain } from '../helpers/chain.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { channel, dispatchedAtSec, flipBit, hex, startSec } from './fixture.ts';
import { abiHeartbeat, sealHeartbeat } from './signs-of-life.ts';

const device = new VoyageDevice(1);
const honest = sealHeartbeat(new VoyageDevice(1), startSec);

function withHeader(change: Partial<Batch>): Heartbeat {
  return { ...honest, batch: { ...honest.batch, ...change } };
}

function withSeries(): Heartbeat {
  const by = new VoyageDevice(1);
  const { batch, signature } = by.seal([regularSeries(channel, dispatchedAtSec, [300, 310])]);
  const decoded = decodeBatch(batch);
  if (!decoded.ok) throw new Error(decoded.detail);
  return { publicKey: by.publicKey, batch: decoded.value, signature };
}

const cases: readonly { name: string; want: HeartbeatReason | `accepted ${number}`; proof: Heartbeat }[] = [
  { name: 'a heartbeat', want: `accepted ${startSec}`, proof: honest },
  { name: 'a batch with samples, at its last one', want: `accepted ${dispatchedAtSec + 60}`, proof: withSeries() },
  {
    name: 'a sensor-signed one',
    want: `accepted ${startSec}`,
    proof: sealHeartbeat(new VoyageDevice(1), startSec, flags.sensorSigned),
  },
  { name: 'of another device', want: 'DeviceNotAssigned', proof: sealHeartbeat(new VoyageDevice(2), startSec) },
  {
    name: 'by a clock that was not to be trusted',
    want: 'BatchFlagged',
    proof: sealHeartbeat(new VoyageDevice(1), startSec, flags.clockUnsynchronised),
  },
  {
    name: 'with a critical flag that is not known',
    want: 'BatchFlagged',
    proof: sealHeartbeat(new VoyageDevice(1), startSec, 0x8000),
  },
  { name: 'the high-s twin', want: 'SignatureNotLowS', proof: { ...honest, signature: highTwin(honest.signature) } },
  { name: 'one bit of r', want: 'SignatureInvalid', proof: { ...honest, signature: flipBit(honest.signature, 9) } },
  { name: 'r and s of zero', want: 'SignatureInvalid', proof: { ...honest, signature: new Uint8Array(64) } },
  { name: 'a later last second', want: 'SignatureInvalid', proof: withHeader({ lastSec: startSec + 1 }) },
  { name: 'another first second', want: 'SignatureInvalid', proof: withHeader({ firstSec: startSec - 1 }) },
  { name: 'another sequence', want: 'SignatureInvalid', proof: withHeader({ sequence: 24 }) },
  {
    name: 'another previous batch',
    want: 'SignatureInvalid',
    proof: withHeader({ previous: new Uint8Array(32).fill(1) }),
  },
  { name: 'another root', want: 'SignatureInvalid', proof: withHeader({ root: new Uint8Array(32).fill(1) }) },
  { name: 'another number of series', want: 'SignatureInvalid', proof: withHeader({ seriesCount: 1 }) },
  { name: 'a flag put in', want: 'SignatureInvalid', proof: withHeader({ flags: 1 }) },
];

async function contractVerdict(probe: Contract, proof: Heartbeat): Promise<string> {
  try {
    const answer = (await call(probe, 'verifyHeartbeat', [abiHeartbeat(proof), hex(device.device)])) as unknown[];
    return `accepted ${answer.map(String).join(' ')}`;
  } catch (error) {
    if (error instanceof RevertError) return error.reason;
    throw error;
  }
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`each case has its own verdict, on ${hardFork}`, async (t) => {
    const chain = await startChain({ hardFork });
    t.teardown(() => chain.stop());
    const probe = await deploy(await chain.account(0), 'ProofProbe');
    for (const { name, want, proof } of cases) {
      const verdict = verifyHeartbeat(proof, device.device);
      const wire = verdict.ok ? `accepted ${verdict.value.lastSec} ${hex(verdict.value.digest)}` : verdict.reason;
      t.equal(wire.replace(/ 0x\w+$/, ''), want, `wire: ${name}`);
      t.equal(await contractVerdict(probe, proof), wire, `contract: ${name}`);
    }
  });
}

t.test('the digest is the batch as the device sealed it', (t) => {
  const by = new VoyageDevice(1);
  const { batch, signature } = by.seal([], 0, startSec);
  const verdict = verifyHeartbeat({ ...honest, signature }, device.device);
  t.same(verdict, { ok: true, value: { lastSec: startSec, digest: digestBatch(batch) } });
  t.end();
});
