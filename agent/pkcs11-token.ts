/**
 * A process of its own for one PKCS #11 token, the only door to pkcs11js. A vendor's module may hang when the token is
 * pulled out, or crash; neither must befall the agent, which starts this process for a burst of signatures and kills it
 * when it is late. A fresh process also is the one way of getting back a token that every module knows.
 *
 *   agent --TokenRequest--> C_Initialize, C_OpenSession, C_Login, [C_GenerateKeyPair | C_Sign] --TokenAnswer--> agent
 *
 * Section numbers are those of PKCS #11 Cryptographic Token Interface Base Specification v2.40.
 */
import { randomBytes } from 'node:crypto';
import type { Handle, PKCS11 } from 'pkcs11js';
import type { TokenAnswer, TokenReason, TokenRequest, TokenTerms } from './key-pkcs11.ts';

/** Long enough for a backlog of batches, short enough that a PIN is in no memory for long. */
const idleMsMax = 5_000;

/** DER of the object identifier prime256v1 (RFC 5480 §2.1.1.1). */
const curveP256 = Buffer.from('06082a8648ce3d030107', 'hex');

class TokenError extends Error {
  readonly reason: TokenReason;

  constructor(reason: TokenReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

type Library = typeof import('pkcs11js');
type OpenToken = { readonly library: Library; readonly module: PKCS11; readonly session: Handle };

async function openToken({ module: path, token, pin, isAttended }: TokenTerms): Promise<OpenToken> {
  let library: Library;
  try {
    // Not a static import: the package is optional, and its absence must be told by its name.
    library = (await import('pkcs11js')).default;
  } catch (error) {
    throw new TokenError('away', `pkcs11js, an optional dependency, is not installed: ${String(error)}`);
  }
  const module = new library.PKCS11();
  module.load(path);
  module.C_Initialize();
  const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trimEnd() === token);
  if (slot === undefined) throw new TokenError('away', `token: expected one labelled "${token}", found none`);
  const { flags } = module.C_GetTokenInfo(slot);
  if ((flags & library.CKF_USER_PIN_LOCKED) !== 0) throw new TokenError('pin-wrong', `token "${token}": PIN is locked`);
  // §3.2: set since a wrong PIN was given, until a right one is. Where a person looks on, it may be tried once more.
  if (!isAttended && (flags & library.CKF_USER_PIN_COUNT_LOW) !== 0) {
    const advice = 'log in once by hand with the right one (the command enrol does)';
    throw new TokenError('pin-wrong', `token "${token}" was given a wrong PIN last; ${advice}`);
  }
  const session = module.C_OpenSession(slot, library.CKF_SERIAL_SESSION | library.CKF_RW_SESSION);
  module.C_Login(session, library.CKU_USER, pin);
  return { library, module, session };
}

/** Signs a digest: CKM_ECDSA is the bare operation (Current Mechanisms v2.40 §2.3.6), and every token has it. */
function signDigest({ library, module, session }: OpenToken, device: Buffer, digest: Buffer): Buffer {
  const key = find({ library, module, session }, [
    { type: library.CKA_CLASS, value: library.CKO_PRIVATE_KEY },
    { type: library.CKA_ID, value: device },
  ]);
  if (key === undefined) throw new TokenError('away', `the token has no key with CKA_ID ${device.toString('hex')}`);
  module.C_SignInit(session, { mechanism: library.CKM_ECDSA }, key);
  return module.C_Sign(session, digest, Buffer.alloc(64));
}

function find(
  { module, session }: OpenToken,
  template: Parameters<PKCS11['C_FindObjectsInit']>[1],
): Handle | undefined {
  module.C_FindObjectsInit(session, template);
  try {
    return module.C_FindObjects(session, 1)[0];
  } finally {
    module.C_FindObjectsFinal(session);
  }
}

/** Makes a pair in the token. The private key never leaves it: the token is asked to say so itself. */
function generatePair({ library, module, session }: OpenToken, label: string) {
  const temporaryId = randomBytes(16);
  const both = [
    { type: library.CKA_TOKEN, value: true },
    { type: library.CKA_LABEL, value: label },
    { type: library.CKA_ID, value: temporaryId },
  ];
  const pair = module.C_GenerateKeyPair(
    session,
    { mechanism: library.CKM_EC_KEY_PAIR_GEN },
    [...both, { type: library.CKA_EC_PARAMS, value: curveP256 }, { type: library.CKA_VERIFY, value: true }],
    [
      ...both,
      { type: library.CKA_PRIVATE, value: true },
      { type: library.CKA_SENSITIVE, value: true },
      { type: library.CKA_EXTRACTABLE, value: false },
      { type: library.CKA_SIGN, value: true },
    ],
  );
  const promised = module.C_GetAttributeValue(session, pair.privateKey, [
    { type: library.CKA_SENSITIVE },
    { type: library.CKA_EXTRACTABLE },
  ]);
  const [isSensitive, isExtractable] = promised.map(({ value }) => Buffer.from(value)[0]);
  if (isSensitive !== 1 || isExtractable !== 0) {
    module.C_DestroyObject(session, pair.privateKey);
    module.C_DestroyObject(session, pair.publicKey);
    throw new TokenError('away', 'the token made a key that can be read out, which was not asked for');
  }
  return pair;
}

/** Gives x ‖ y. From here on the key is found by its device, whatever label another key has. */
function makeKey(token: OpenToken, label: string, deviceOf: (publicKey: Buffer) => Buffer): Buffer {
  const { library, module, session } = token;
  const { privateKey, publicKey } = generatePair(token, label);
  const [point] = module.C_GetAttributeValue(session, publicKey, [{ type: library.CKA_EC_POINT }]);
  const bytes = Buffer.from(point?.value as Buffer);
  // §2.3.3 of the mechanisms has it as a DER OCTET STRING; some tokens give the bare point (SEC 1 §2.3.3).
  const bare = bytes.length === 67 ? bytes.subarray(2) : bytes;
  if (bare.length !== 65 || bare[0] !== 0x04) throw new TokenError('away', `CKA_EC_POINT: ${bytes.length} bytes`);
  const id = [{ type: library.CKA_ID, value: deviceOf(bare.subarray(1)) }];
  for (const each of [privateKey, publicKey]) module.C_SetAttributeValue(session, each, id);
  return bare.subarray(1);
}

async function answerTo(request: TokenRequest, opened: () => Promise<OpenToken>): Promise<Buffer> {
  const token = await opened();
  if (request.ask === 'sign') {
    return signDigest(token, Buffer.from(request.device, 'hex'), Buffer.from(request.digest, 'hex'));
  }
  const { deviceOf } = await import('@coldproof/wire');
  return makeKey(token, request.terms.label, (publicKey) => Buffer.from(deviceOf(publicKey)));
}

/** Return values of the PIN (§11.6, C_Login) need a person; all others may pass. */
function reasonOf(error: unknown): TokenReason {
  if (error instanceof TokenError) return error.reason;
  return error instanceof Error && error.message.startsWith('CKR_PIN_') ? 'pin-wrong' : 'away';
}

function listen(): void {
  let token: Promise<OpenToken> | undefined;
  let idle: NodeJS.Timeout | undefined;
  process.on('disconnect', () => process.exit());
  process.on('message', (request: TokenRequest) => {
    clearTimeout(idle);
    const answer = (words: TokenAnswer, isLast: boolean) => {
      process.send!(words, () => {
        if (isLast) process.exit();
        idle = setTimeout(() => process.exit(), idleMsMax);
      });
    };
    answerTo(request, () => (token ??= openToken(request.terms))).then(
      (bytes) => answer({ ok: true, bytes: bytes.toString('hex') }, false),
      (error: unknown) => {
        const detail = error instanceof Error ? error.message : String(error);
        answer({ ok: false, reason: reasonOf(error), detail }, true);
      },
    );
  });
}

listen();
