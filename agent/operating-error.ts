/** What the disk, the line, the link or the set-up did to us. Hostile input never gets here: that is a Verdict. */
export type OperatingCode =
  /** A file of the state directory cannot be read or made. */
  | 'state-unavailable'
  /** A write or fsync of the journal failed. What is on the disk is unknown: nothing may go on as if it had worked. */
  | 'journal-write-failed'
  /** The journal is full and must refuse: what was handed over is still the sensor's. */
  | 'journal-full'
  /** Another agent has the state directory. */
  | 'journal-locked'
  /** The journal is not one, is of a later version, or has rotted. */
  | 'journal-damaged'
  /** A key without its place in the journal: to go on from sequence 0 would sign a sequence twice. */
  | 'journal-of-another-key'
  | 'key-missing'
  | 'key-exists'
  | 'key-exposed'
  | 'key-damaged'
  | 'key-passphrase-wrong'
  /** The key store gave a signature that its own public key refuses. */
  | 'key-unusable'
  | 'secret-missing'
  /** A certificate or key of an uplink that cannot be read, or does not belong to the other. */
  | 'tls-unusable'
  | 'config-invalid'
  | 'port-unavailable'
  | 'link-failed'
  | 'line-failed'
  /** No agent answers at its status page. */
  | 'agent-away'
  /** The journal holds what an oracle would refuse. */
  | 'journal-unsound'
  /** With a configuration that is being tried: it did not come up in time, or it was not ready for long enough. */
  | 'start-hangs'
  | 'not-ready'
  /** The agent is on its way down and takes nothing more. */
  | 'stopping';

export class OperatingError extends Error {
  override readonly name = 'OperatingError';
  readonly code: OperatingCode;
  /** What the caller should do: `later` may work by itself, `never` needs a person or a restart. */
  readonly retry: 'never' | 'later';

  constructor(code: OperatingCode, message: string, options: { retry: 'never' | 'later'; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry;
  }
}

/** The words of anything thrown, for a message. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For what passes a thrown value on: JavaScript can throw anything. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
