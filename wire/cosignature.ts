/**
 * A witness's signature beside a log's own (c2sp.org/tlog-cosignature, "cosignature/v1"): "as of this time this is the
 * largest head of the log that I have seen, and it is consistent with all before it".
 *
 *   — witness.example KEYID‖TIME‖SIGNATURE in base64
 */
import { formatBase64, parseBase64 } from './base64.ts';
import { bytesEqual, concatBytes, utf8ToBytes } from './bytes.ts';
import { referenceCrypto, verifyEd25519 } from './crypto.ts';
import { cosignaturePreimage } from './preimage.ts';
import { accept, reject, type Verdict } from './verdict.ts';

/** Signature type of Ed25519 cosignatures in c2sp.org/signed-note. */
const cosignatureType = 0x04;

export type CosignatureReason = 'cosignature-malformed' | 'cosignature-invalid';

/** Everything before the blank line of a note, with its last newline. */
export function noteTextOf(note: string): string | undefined {
  const end = note.indexOf('\n\n');
  return end < 0 ? undefined : note.slice(0, end + 1);
}

/** `signature` is by the witness's key over cosignaturePreimage(text, timeSec). */
export function formatCosignature(
  witness: { readonly name: string; readonly publicKey: Uint8Array },
  timeSec: number,
  signature: Uint8Array,
): string {
  const signed = formatBase64(concatBytes(keyIdOf(witness), timeBytes(timeSec), signature));
  return `— ${witness.name} ${signed}\n`;
}

/** The time of a witness's cosignature under a note, in Unix seconds. */
export function verifyCosignature(
  note: string,
  line: string,
  witness: { readonly name: string; readonly publicKey: Uint8Array },
  verify: typeof verifyEd25519 = verifyEd25519,
): Verdict<number, CosignatureReason> {
  const text = noteTextOf(note);
  if (text === undefined) return reject('cosignature-malformed', 'expected a blank line between text and signatures');
  const head = `— ${witness.name} `;
  const signed = line.startsWith(head) && line.endsWith('\n') ? parseBase64(line.slice(head.length, -1)) : undefined;
  // 4 bytes of key id, 8 of time, 64 of signature.
  if (signed?.length !== 76) return reject('cosignature-malformed', `expected a signature line of ${witness.name}`);
  if (!bytesEqual(signed.subarray(0, 4), keyIdOf(witness))) {
    return reject('cosignature-invalid', `not by the key of ${witness.name}`);
  }
  const timeSec = signed.subarray(4, 12).reduce((sum, byte) => sum * 256 + byte, 0);
  if (!Number.isSafeInteger(timeSec)) return reject('cosignature-malformed', `time: got ${timeSec}`);
  return verify(witness.publicKey, cosignaturePreimage(text, timeSec), signed.subarray(12))
    ? accept(timeSec)
    : reject('cosignature-invalid', `the signature is not by ${witness.name} over this text and time`);
}

/** SHA-256(name ‖ 0x0A ‖ 0x04 ‖ key)[:4]. */
function keyIdOf({ name, publicKey }: { readonly name: string; readonly publicKey: Uint8Array }): Uint8Array {
  const described = concatBytes(utf8ToBytes(`${name}\n`), Uint8Array.of(cosignatureType), publicKey);
  return referenceCrypto.sha256(described).subarray(0, 4);
}

/** 8 bytes, big-endian. */
function timeBytes(timeSec: number): Uint8Array {
  const bytes = new Uint8Array(8);
  for (let i = 7, rest = timeSec; rest > 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}
