/**
 * A cryptlet as a file: manifest, program, and the publisher's signature over both and the runtime that they are for.
 *
 *   package = [tag: text, runtime: bstr, manifest: array, program: text, signature: bstr]     deterministic CBOR
 *   digest  = SHA-256([tag, runtime, manifest, program])
 *
 * The digest is the cryptlet's name in the registry and in the terms that the parties sign. Since the runtime is in it,
 * a program keeps its meaning when this software is brought up to date: another runtime makes another cryptlet.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import {
  accept,
  bytesEqual,
  bytesToHex,
  cryptletPreimage,
  decodeCbor,
  domainTags,
  encodeCbor,
  isCborArray,
  referenceCrypto,
  reject,
  utf8ToBytes,
  type Cbor,
  type Verdict,
} from '@coldproof/wire';
import { packageBytesMax, programBytesMax } from './limits.ts';
import { manifestItem, readManifestItem, type Manifest, type ManifestReason } from './manifest.ts';
import { runtimeIdentity } from './runtime.ts';

export type Cryptlet = {
  readonly digest: Uint8Array;
  readonly manifest: Manifest;
  /** JavaScript that declares `function evaluate(input)`. */
  readonly program: string;
};

export type PackageReason =
  | 'package-too-large'
  | 'package-malformed'
  /** Made for another runtime than this one. */
  | 'runtime-unknown'
  | 'program-malformed'
  /** Not by the publisher that the manifest names. */
  | 'signature-invalid'
  | ManifestReason;

/** Makes the cryptlet of a manifest that was checked. */
export function cryptletOf(manifest: Manifest, program: string): Verdict<Cryptlet, 'program-malformed'> {
  const size = utf8ToBytes(program).length;
  if (size === 0 || size > programBytesMax) {
    return reject('program-malformed', `program: expected 1 to ${programBytesMax} bytes, got ${size}`);
  }
  const digest = sha256([domainTags.cryptlet, runtimeIdentity(), manifestItem(manifest), program]);
  return accept({ digest, manifest, program });
}

/** What the registry keeps beside the digest. */
export function manifestDigest(manifest: Manifest): Uint8Array {
  return sha256([domainTags.cryptlet, manifestItem(manifest)]);
}

/** What the publisher signs, secp256k1 as r ‖ s ‖ v. */
export function publicationDigest(cryptlet: Uint8Array): Uint8Array {
  return referenceCrypto.sha256(cryptletPreimage(cryptlet));
}

/** Throws RangeError when the signature is not 65 bytes. */
export function encodePackage({ manifest, program }: Cryptlet, signature: Uint8Array): Uint8Array {
  if (signature.length !== 65) throw new RangeError(`signature: expected 65 bytes, got ${signature.length}`);
  return encodeCbor([domainTags.cryptlet, runtimeIdentity(), manifestItem(manifest), program, signature]);
}

/** Anything but the one form is refused; so the file, too, has one digest only. */
export function parsePackage(bytes: Uint8Array): Verdict<Cryptlet, PackageReason> {
  if (bytes.length > packageBytesMax) {
    return reject('package-too-large', `package: expected at most ${packageBytesMax} bytes, got ${bytes.length}`);
  }
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('package-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 5) return reject('package-malformed', 'package: expected an array of 5');
  const [tag, runtime, described, program, signature] = item;
  if (tag !== domainTags.cryptlet) return reject('package-malformed', `tag: expected "${domainTags.cryptlet}"`);
  if (!(runtime instanceof Uint8Array) || !bytesEqual(runtime, runtimeIdentity())) {
    const got = runtime instanceof Uint8Array ? bytesToHex(runtime) : 'no bytes';
    return reject('runtime-unknown', `runtime: expected ${bytesToHex(runtimeIdentity())}, got ${got}`);
  }
  const manifest = readManifestItem(described);
  if (!manifest.ok) return manifest;
  if (typeof program !== 'string') return reject('program-malformed', 'program: expected a text');
  const cryptlet = cryptletOf(manifest.value, program);
  if (!cryptlet.ok) return cryptlet;
  const signer = signature instanceof Uint8Array ? recoverSigner(cryptlet.value.digest, signature) : undefined;
  if (signer === manifest.value.publisher) return cryptlet;
  const detail = `signature: expected one by ${manifest.value.publisher}, got one by ${signer ?? 'nobody'}`;
  return reject('signature-invalid', detail);
}

/** 0x-hex; undefined for a signature that no key makes, or the upper twin of one. */
function recoverSigner(cryptlet: Uint8Array, signature: Uint8Array): string | undefined {
  const recovery = (signature[64] ?? 0) - 27;
  if (signature.length !== 65 || (recovery !== 0 && recovery !== 1)) return undefined;
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, 64), 'compact');
    if (parsed.hasHighS()) return undefined;
    const point = parsed.addRecoveryBit(recovery).recoverPublicKey(publicationDigest(cryptlet));
    return `0x${bytesToHex(keccak_256(point.toBytes(false).subarray(1)).subarray(12))}`;
  } catch {
    // noble throws on r or s out of range and on a point off the curve: from an outsider, an invalid signature.
    return undefined;
  }
}

function sha256(item: Cbor): Uint8Array {
  return referenceCrypto.sha256(encodeCbor(item));
}
