/**
 * The log's signed head, as text that a person can read and any transparency-log tool can check
 * (c2sp.org/tlog-checkpoint in a c2sp.org/signed-note, Ed25519):
 *
 *   coldproof.example/log/5c9e
 *   1234
 *   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 *
 *   — coldproof.example/log/5c9e Az3grlg…
 */
import { bytesEqual, concatBytes, utf8ToBytes } from './bytes.ts';
import { formatBase64, parseBase64 } from './base64.ts';
import { referenceCrypto, verifyEd25519 } from './crypto.ts';
import { checkpointBytesMax, indexMax } from './limits.ts';
import { checkpointPreimage } from './preimage.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type Checkpoint = {
  /** The log's name, a schema-less URL without spaces or plus signs. */
  readonly origin: string;
  /** Leaves in the tree. */
  readonly size: number;
  readonly root: Uint8Array;
};

export type CheckpointReason = 'checkpoint-malformed' | 'checkpoint-of-another-log' | 'checkpoint-signature-invalid';

/** Signature type "Ed25519" of c2sp.org/signed-note. */
const ed25519Type = 0x01;

export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${formatBase64(root)}\n`;
}

/** The note: text, blank line, one signature line by the log's own key. */
export function formatSignedCheckpoint(checkpoint: Checkpoint, publicKey: Uint8Array, signature: Uint8Array): string {
  const signed = formatBase64(concatBytes(keyId(checkpoint.origin, publicKey), signature));
  return `${formatCheckpoint(checkpoint)}\n— ${checkpoint.origin} ${signed}\n`;
}

/** Canonical or refused; extension lines and cosignatures of others may follow and are left alone. */
export function verifyCheckpoint(
  note: string,
  origin: string,
  publicKey: Uint8Array,
  verify: typeof verifyEd25519 = verifyEd25519,
): Verdict<Checkpoint, CheckpointReason> {
  if (note.length > checkpointBytesMax) {
    return reject('checkpoint-malformed', `expected <= ${checkpointBytesMax} characters, got ${note.length}`);
  }
  const end = note.indexOf('\n\n');
  if (end < 0) return reject('checkpoint-malformed', 'expected a blank line between text and signatures');
  const text = note.slice(0, end + 1);
  const [named, sizeText, rootText] = text.split('\n');
  if (named !== origin) return reject('checkpoint-of-another-log', `origin: expected ${origin}, got ${named ?? ''}`);
  const size = Number(sizeText);
  if (!Number.isSafeInteger(size) || size < 0 || size > indexMax || sizeText !== String(size)) {
    return reject('checkpoint-malformed', `size: expected a decimal number, got ${sizeText ?? ''}`);
  }
  const root = parseBase64(rootText ?? '');
  if (root?.length !== 32)
    return reject('checkpoint-malformed', `root: expected 32 bytes in base64, got ${rootText ?? ''}`);
  const id = keyId(origin, publicKey);
  for (const line of note.slice(end + 2).split('\n')) {
    if (!line.startsWith(`— ${origin} `)) continue;
    const signed = parseBase64(line.slice(`— ${origin} `.length));
    if (signed === undefined || !bytesEqual(signed.subarray(0, 4), id)) continue;
    return verify(publicKey, checkpointPreimage(text), signed.subarray(4))
      ? accept({ origin, size, root })
      : reject('checkpoint-signature-invalid', 'the signature is not by the log key over this text');
  }
  return reject('checkpoint-signature-invalid', `no signature line of ${origin} with the key's id`);
}

/** SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4] (c2sp.org/signed-note). */
function keyId(name: string, publicKey: Uint8Array): Uint8Array {
  const described = concatBytes(utf8ToBytes(`${name}\n`), Uint8Array.of(ed25519Type), publicKey);
  return referenceCrypto.sha256(described).subarray(0, 4);
}
