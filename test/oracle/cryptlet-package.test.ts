/** The package: one form, one digest, and a signature that covers all of it. */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import t from 'tap';
import { bytesEqual, bytesToHex, decodeCbor, encodeCbor, hexToBytes, type Cbor } from '@coldproof/wire';
import { cryptletOf, encodePackage, manifestDigest, parsePackage } from '@coldproof/oracle/cryptlet/cryptlet';
import { problemOf } from '@coldproof/oracle/cryptlet/interface';
import { checkManifest, type Manifest } from '@coldproof/oracle/cryptlet/manifest';
import { seeded } from '../helpers/seed.ts';
import { cryptlet, manifest, publisher, sign } from './cryptlet-fixture.ts';

const program = 'function evaluate() {}\n';
const parameters = [{ name: 'limitCentiC', min: -5, max: 900, value: 800 }];
const made = cryptlet(program, { parameters, trigger: { on: 'interval', everySec: 3_600 }, channels: [1, 16] });
const bytes = encodePackage(made, sign(made));
const items = (): Cbor[] => {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) throw new Error(decoded.detail);
  return [...(decoded.value as readonly Cbor[])];
};

t.test('what is written is read, and named by the same digest', (t) => {
  t.same(parsePackage(bytes), { ok: true, value: made });
  t.end();
});

t.test('another version, value, program or publisher is another cryptlet', (t) => {
  const others: Partial<Manifest>[] = [
    { version: 2 },
    { parameters: [{ ...parameters[0]!, value: 799 }] },
    { trigger: { on: 'batch' } },
    { windowSec: 60 },
    { publisher: `0x${'22'.repeat(20)}` },
  ];
  const digests = others.map((changes) => {
    const other = cryptletOf({ ...made.manifest, ...changes }, program);
    return other.ok ? bytesToHex(other.value.digest) : other.detail;
  });
  const changed = cryptletOf(made.manifest, `${program} `);
  if (changed.ok) digests.push(bytesToHex(changed.value.digest));
  t.equal(new Set([...digests, bytesToHex(made.digest)]).size, others.length + 2);
  t.notOk(bytesEqual(manifestDigest(made.manifest), made.digest), 'the manifest has a digest of its own');
  t.end();
});

t.test('every flipped bit is refused, and every truncation and addition', (t) => {
  const random = seeded(t, 21);
  for (let at = 0; at < bytes.length; at++) {
    const flipped = bytes.slice();
    flipped[at]! ^= 1 << random.integer(0, 7);
    if (parsePackage(flipped).ok) t.fail(`byte ${at}`);
    if (parsePackage(bytes.subarray(0, at)).ok) t.fail(`${at} bytes`);
  }
  t.notOk(parsePackage(Uint8Array.from([...bytes, 0])).ok);
  for (let i = 0; i < 200; i++) if (parsePackage(random.bytes(random.integer(0, 300))).ok) t.fail('random bytes');
  t.end();
});

t.test('each refusal has its reason', (t) => {
  const refused = (reason: string, change: (items: Cbor[]) => unknown): void => {
    const changed = items();
    change(changed);
    t.match(parsePackage(encodeCbor(changed)), { ok: false, reason });
  };
  refused('package-malformed', (items) => items.pop());
  refused('package-malformed', (items) => (items[0] = 'coldproof v1 receipt'));
  refused('runtime-unknown', (items) => (items[1] = new Uint8Array(32)));
  refused('runtime-unknown', (items) => (items[1] = 7));
  refused('manifest-malformed', (items) => (items[2] = []));
  refused('program-malformed', (items) => (items[3] = ''));
  refused('program-malformed', (items) => (items[3] = 'x'.repeat(32_769)));
  refused('program-malformed', (items) => (items[3] = Uint8Array.of(1)));
  refused('signature-invalid', (items) => (items[4] = new Uint8Array(65)));
  refused('signature-invalid', (items) => (items[4] = (items[4] as Uint8Array).subarray(0, 64)));
  refused('signature-invalid', (items) => (items[3] = `${program}//`));
  t.match(parsePackage(new Uint8Array(65_537)), { ok: false, reason: 'package-too-large' });
  // The upper twin of the signature, with the parity turned: the same key, but another file.
  const signature = sign(made);
  const s = secp256k1.Point.Fn.ORDER - BigInt(`0x${bytesToHex(signature.subarray(32, 64))}`);
  const twin = [...signature.subarray(0, 32), ...hexToBytes(s.toString(16).padStart(64, '0')), 55 - signature[64]!];
  refused('signature-invalid', (items) => (items[4] = Uint8Array.from(twin)));
  // A signature over the digest itself, without the domain.
  const bare = hexToBytes(publisher.signDigest(`0x${bytesToHex(made.digest)}`).slice(2));
  refused('signature-invalid', (items) => (items[4] = bare));
  t.end();
});

t.test('a manifest names the field that is wrong', (t) => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ name: 'Upper' }, /name/],
    [{ name: 'x'.repeat(32) }, /name/],
    [{ version: 0 }, /version/],
    [{ version: 2 ** 32 }, /version/],
    [{ interface: 'lower(int8 a)' }, /interface/],
    [{ interface: 'Name()' }, /interface/],
    [{ interface: 'Name(int7 a)' }, /type of a/],
    [{ interface: 'Name(int264 a)' }, /type of a/],
    [{ interface: 'Name(bytes33 a)' }, /type of a/],
    [{ interface: 'Name(string a)' }, /type of a/],
    [{ interface: 'Name(int8 a, int8 b)' }, /type name/],
    [{ interface: 'Name(int8 a,int8 a)' }, /stands twice/],
    [{ interface: `Name(${Array.from({ length: 17 }, (_, i) => `int8 a${i}`).join(',')})` }, /at most 16/],
    [{ channels: [] }, /channels/],
    [{ channels: [2, 1] }, /channels/],
    [{ channels: [1, 1] }, /channels/],
    [{ channels: [0] }, /channels/],
    [{ channels: [256] }, /channels/],
    [{ trigger: { on: 'never' } }, /trigger/],
    [{ trigger: { on: 'interval', everySec: 0 } }, /trigger/],
    [{ trigger: { on: 'batch', everySec: 1 } }, /trigger/],
    [{ windowSec: -1 }, /windowSec/],
    [{ parameters: [{ name: 'a', min: 0, max: 1, value: 2 }] }, /expected 0 to 1, got 2/],
    [{ parameters: [{ name: 'a', min: 1, max: 0, value: 0 }] }, /min <= max/],
    [{ parameters: [{ name: 'a', min: 0, max: 1, value: 0.5 }] }, /expected 0 to 1/],
    [{ parameters: [...parameters, ...parameters] }, /stands twice/],
    [{ publisher: '0xABCDEF' }, /publisher/],
  ];
  for (const [changes, detail] of wrong) {
    t.match(checkManifest({ ...manifest, ...changes }), { ok: false, reason: 'manifest-malformed', detail });
  }
  t.ok(checkManifest(manifest).ok);
  t.end();
});

t.test('values have the bounds of their types', (t) => {
  const bounds: [type: string, right: unknown[], wrong: unknown[]][] = [
    ['int8', [-128, 127, 0], [-129, 128, 0.5, '1', true, null]],
    ['uint16', [0, 65_535], [-1, 65_536, NaN]],
    ['int256', [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER], [2 ** 53]],
    ['bool', [true, false], [0, 1, 'true', null]],
    ['bytes2', ['0x00ff'], ['0x00FF', '0x00', '0x00ff00', '00ff', 255]],
  ];
  for (const [type, right, wrong] of bounds) {
    for (const value of right) t.equal(problemOf({ type, name: 'a' }, value), undefined, `${type} ${String(value)}`);
    for (const value of wrong)
      t.match(problemOf({ type, name: 'a' }, value), /^a: expected/, `${type} ${String(value)}`);
  }
  t.end();
});
