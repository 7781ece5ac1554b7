/** A fault of line or link. Bugs are assertions; bad input has a verdict; neither is an OperatingError. */
export type OperatingCode =
  /** No connection to the broker, or no CONNACK in time. */
  | 'broker-unreachable'
  /** CONNACK with a return code: credentials or client id. */
  | 'broker-refused'
  /** The connection ended before the acknowledgement came. */
  | 'link-closed'
  /** No PUBACK in time, on a connection that looks open. */
  | 'acknowledgement-late'
  /** The serial line cannot be opened, or went away. */
  | 'line-unavailable';

export class OperatingError extends Error {
  override readonly name = 'OperatingError';
  readonly code: OperatingCode;
  /** What the caller should do. */
  readonly retry: 'never' | 'later';

  constructor(code: OperatingCode, message: string, options: { retry: 'never' | 'later'; cause?: unknown }) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.retry = options.retry;
  }
}
