/** Certificates of an uplink, read at each start and so at each SIGHUP: who renews them only has to say so. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { TlsConfig } from './config-uplink.ts';
import { describeError, OperatingError } from './operating-error.ts';

export type LinkTls = {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly serverName: string | undefined;
  /** Of the client certificate; Unix milliseconds. */
  readonly expiresAtMs: number | undefined;
};

/** Throws `tls-unusable` for files that cannot be read or do not belong together; an expired one is for the peer. */
export function readLinkTls(uplink: string, { caFile, certFile, keyFile, serverName }: TlsConfig): LinkTls {
  const read = (key: string, file: string | undefined) => {
    if (file === undefined) return undefined;
    try {
      return readFileSync(file);
    } catch (cause) {
      throw unusable(`uplink ${uplink}: tls.${key}: ${describeError(cause)}`, cause);
    }
  };
  const [ca, cert, key] = [read('caFile', caFile), read('certFile', certFile), read('keyFile', keyFile)];
  try {
    // OpenSSL says whether they are PEM, and whether the key is the certificate's.
    createSecureContext({ ca, cert, key });
    const expiresAtMs = cert === undefined ? undefined : Date.parse(new X509Certificate(cert).validTo);
    return { ca, cert, key, serverName, expiresAtMs };
  } catch (cause) {
    const files = [caFile, certFile, keyFile].filter((file) => file !== undefined).join(', ');
    throw unusable(
      `uplink ${uplink}: tls: expected PEM files that belong together, got ${files}: ${why(cause)}`,
      cause,
    );
  }
}

function why(cause: unknown): string {
  return describeError(cause).replace(/^error:[0-9A-F]+:/, '');
}

function unusable(message: string, cause: unknown): OperatingError {
  return new OperatingError('tls-unusable', message, { retry: 'never', cause });
}
