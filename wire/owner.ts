/**
 * What an owner may tell a device from afar: a configuration, and commands. Both are signed by the key that the
 * device's own file names, bound to the device, and good for one thing only: the domain tags differ.
 *
 *   message = #6.18([h'a10126' / h'a10127', {}, body: bstr, signature: bstr .size 64])
 *   config  = [version: 1, device: bstr .size 32, number: 1..2^53-1, settings: tstr]
 *   command = [version: 1, device: bstr .size 32, id: bstr .size 16, expires: uint, name: tstr, argument: uint]
 *
 * The owner's key is P-256 (x ‖ y, 64 bytes, ES256 with low s) or Ed25519 (32 bytes, EdDSA).
 */
import { bytesEqual } from './bytes.ts';
import { decodeCbor, encodeCbor, isCborArray, type Cbor } from './cbor.ts';
import { isLowS, referenceCrypto, verifyEd25519 } from './crypto.ts';
import { describeValue, isDigest, isUint } from './field.ts';
import { indexMax, ownerCommandBytesMax, ownerConfigBytesMax, unixSecMax } from './limits.ts';
import { ownerPreimage, protectedEdDsa, protectedEs256, type OwnerMessage } from './preimage.ts';
import { openSign1, sign1 } from './sign1.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export const ownerVersion = 1;

export type OwnerConfig = {
  readonly device: Uint8Array;
  /** Forward only: a device takes none that is not above the last one it has seen. */
  readonly number: number;
  /** JSON (RFC 8259), an object: the whole of what is set from afar. */
  readonly settings: string;
};

export const commandNames = ['set-sampling-period', 'request-replay'] as const;
export type CommandName = (typeof commandNames)[number];

export type OwnerCommand = {
  readonly device: Uint8Array;
  /** Of the owner's choice, never used again: 16 random bytes. */
  readonly id: Uint8Array;
  /** Unix seconds; after it nothing is done. */
  readonly expiresSec: number;
  readonly name: CommandName;
  /** Seconds of set-sampling-period, first sequence of request-replay. */
  readonly argument: number;
};

export type OwnerReason =
  /** Over ownerConfigBytesMax or ownerCommandBytesMax. */
  | 'owner-message-too-large'
  | 'owner-message-malformed'
  /** Signed for another device. */
  | 'owner-message-of-another-device'
  /** The twin (r, n - s) of a signature that may well be valid. */
  | 'owner-signature-not-low-s'
  | 'owner-signature-invalid';

/** What the owner signs is ownerPreimage('config', publicKey, this). */
export function encodeOwnerConfig({ device, number, settings }: OwnerConfig): Uint8Array {
  return encodeCbor([ownerVersion, device, number, settings]);
}

/** What the owner signs is ownerPreimage('command', publicKey, this). */
export function encodeOwnerCommand({ device, id, expiresSec, name, argument }: OwnerCommand): Uint8Array {
  return encodeCbor([ownerVersion, device, id, expiresSec, name, argument]);
}

export function encodeOwnerMessage(body: Uint8Array, publicKey: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeCbor(sign1(publicKey.length === 64 ? protectedEs256 : protectedEdDsa, body, signature));
}

/** Decodes and verifies at once: what is not the owner's word is of no use to anybody. */
export function verifyOwnerConfig(
  bytes: Uint8Array,
  publicKey: Uint8Array,
  device: Uint8Array,
): Verdict<OwnerConfig, OwnerReason> {
  const body = openMessage('config', bytes, publicKey, { device, bytesMax: ownerConfigBytesMax });
  if (!body.ok) return body;
  const [, , number, settings] = body.value;
  if (body.value.length !== 4) return malformed('config', body.value.length, 'an array of 4');
  if (!isUint(number, indexMax) || number === 0) return malformed('number', number, `1 <= number <= ${indexMax}`);
  if (typeof settings !== 'string') return malformed('settings', settings, 'text');
  return accept({ device, number, settings });
}

export function verifyOwnerCommand(
  bytes: Uint8Array,
  publicKey: Uint8Array,
  device: Uint8Array,
): Verdict<OwnerCommand, OwnerReason> {
  const body = openMessage('command', bytes, publicKey, { device, bytesMax: ownerCommandBytesMax });
  if (!body.ok) return body;
  const [, , id, expiresSec, named, argument] = body.value;
  if (body.value.length !== 6) return malformed('command', body.value.length, 'an array of 6');
  if (!(id instanceof Uint8Array) || id.length !== 16) return malformed('id', id, '16 bytes');
  if (!isUint(expiresSec, unixSecMax)) return malformed('expires', expiresSec, `<= ${unixSecMax}`);
  const name = commandNames.find((each) => each === named);
  if (name === undefined) return malformed('name', named, `one of ${commandNames.join(', ')}`);
  if (!isUint(argument, indexMax)) return malformed('argument', argument, `<= ${indexMax}`);
  return accept({ device, id, expiresSec, name, argument });
}

/** The body of a message that the owner signed for this device. */
function openMessage(
  kind: OwnerMessage,
  bytes: Uint8Array,
  publicKey: Uint8Array,
  { device, bytesMax }: { readonly device: Uint8Array; readonly bytesMax: number },
): Verdict<readonly Cbor[], OwnerReason> {
  if (bytes.length > bytesMax) {
    return reject('owner-message-too-large', `${kind}: expected <= ${bytesMax} bytes, got ${bytes.length}`);
  }
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('owner-message-malformed', decoded.detail);
  const isP256 = publicKey.length === 64;
  const signed = openSign1(decoded.value, isP256 ? protectedEs256 : protectedEdDsa);
  if (signed === undefined) {
    return reject('owner-message-malformed', `expected a COSE_Sign1 with protected header {1: ${isP256 ? -7 : -8}}`);
  }
  const { payload, signature } = signed;
  if (isP256 && !isLowS(signature)) return reject('owner-signature-not-low-s', 'expected s <= n / 2');
  const preimage = ownerPreimage(kind, publicKey, payload);
  const verify = isP256 ? referenceCrypto.verifyP256 : verifyEd25519;
  if (!verify(publicKey, preimage, signature)) {
    return reject('owner-signature-invalid', `not signed as a ${kind} by the owner`);
  }
  const body = decodeCbor(payload);
  if (!body.ok) return reject('owner-message-malformed', body.detail);
  if (!isCborArray(body.value)) return reject('owner-message-malformed', `${kind}: expected an array`);
  const [version, named] = body.value;
  if (version !== ownerVersion) return malformed('version', version, `${ownerVersion}`);
  if (!isDigest(named)) return malformed('device', named, '32 bytes');
  if (!bytesEqual(named, device)) return reject('owner-message-of-another-device', 'device: not this one');
  return accept(body.value);
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('owner-message-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
