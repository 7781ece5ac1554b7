/** A fault of the disk, the link or the chain: not a bug, and nothing an outsider's bytes can cause. */
export type OperatingCode =
  /** The configuration file cannot be read or has problems; the message lists all of them. */
  | 'config-invalid'
  /** A key file is missing, unreadable, too open, or its passphrase is wrong. */
  | 'key-unusable'
  /** The database cannot be opened or written. The oracle stops: nothing is promised that is not on disk. */
  | 'store-failed'
  /** Another oracle holds the same state directory. */
  | 'store-locked'
  /** Another worker is the one that acts on the chain now; this one is not to. */
  | 'lease-lost'
  /** A port cannot be listened on. */
  | 'listen-failed'
  /** The chain's RPC does not answer, or answers nonsense. */
  | 'chain-unreachable'
  /** The RPC answers for another chain than the configured one. */
  | 'chain-id-wrong'
  /** The remote signer does not answer, or refuses to sign. */
  | 'signer-unreachable'
  /** The remote signer gave back another transaction than it was asked to sign. */
  | 'signer-differs'
  /** A transaction reverted that was to go through: of a deployment, or of a development chain. */
  | 'transaction-reverted'
  /** What stands on the chain is not what the plan and this build would deploy, and is not to be changed by it. */
  | 'deployment-differs'
  /** A verifying thread died. */
  | 'verify-failed'
  /** The thread that signs receipts died. */
  | 'sign-failed'
  /** A thread that runs cryptlets died or hung. No verdict about the cryptlet, so nothing to sign. */
  | 'cryptlet-failed'
  /** Another oracle's HTTP API does not answer, or answers nonsense. */
  | 'peer-unreachable';

export class OperatingError extends Error {
  readonly code: OperatingCode;
  /** What the caller should do: give up, or try the same again after a while. */
  readonly retry: 'never' | 'later';

  constructor(code: OperatingCode, message: string, options: { retry: 'never' | 'later'; cause?: unknown }) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.name = 'OperatingError';
    this.code = code;
    this.retry = options.retry;
  }
}

/** The text of whatever was thrown, with its causes, for a log line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describeError(error.cause)}`;
}
