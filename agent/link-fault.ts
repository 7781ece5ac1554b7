/** Why there is no connection, in words that say what to do: Node's TLS codes and OpenSSL's alerts say it to few. */
import { describeError } from './operating-error.ts';

/** Our view of the server's certificate (Node's `tls`, "X509 certificate error codes"). */
const serverFaults: { readonly [code: string]: string } = {
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet; is this clock right?",
  CERT_REVOKED: "the server's certificate was revoked",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the server's certificate is self-signed and not in tls.caFile",
  SELF_SIGNED_CERT_IN_CHAIN: "the server's certificate is of a CA that tls.caFile does not have",
  UNABLE_TO_GET_ISSUER_CERT: "the server's certificate is of a CA that tls.caFile does not have",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the server's certificate is of a CA that tls.caFile does not have",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the server's certificate is of a CA that tls.caFile does not have",
  CERT_SIGNATURE_FAILURE: "the server's certificate was not signed by the CA in tls.caFile that it names",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another name; tls.serverName says which to expect",
};

/** The server's view of ours: alerts of RFC 8446 §6.2, by the ends of OpenSSL's names for them. */
const clientFaults: readonly (readonly [ending: string, words: string])[] = [
  ['CERTIFICATE_REQUIRED', 'the server wants a client certificate: tls.certFile and tls.keyFile'],
  [
    'HANDSHAKE_FAILURE',
    'the server refused the handshake; it may want a client certificate: tls.certFile and tls.keyFile',
  ],
  ['CERTIFICATE_EXPIRED', 'the server refused the client certificate: it has expired'],
  ['CERTIFICATE_REVOKED', 'the server refused the client certificate: it was revoked'],
  ['UNKNOWN_CA', 'the server refused the client certificate: it does not know its CA'],
  ['BAD_CERTIFICATE', 'the server refused the client certificate'],
  ['CERTIFICATE_UNKNOWN', 'the server refused the client certificate'],
  ['UNSUPPORTED_CERTIFICATE', 'the server refused the client certificate: not of a kind that it takes'],
  ['ACCESS_DENIED', 'the server refused the client certificate: access denied'],
];

/** With MQTT's reason code where there is one: 3.1.1 §3.2.2.3 below 128, 5 §2.4 from there on. */
export function describeLinkFault(fault: unknown): string {
  const words = describeError(fault);
  const code: unknown = typeof fault === 'object' && fault !== null && 'code' in fault ? fault.code : undefined;
  if (typeof code === 'number') return `${words} (reason code ${code})`;
  if (typeof code !== 'string') return words;
  const told = serverFaults[code] ?? clientFaults.find(([ending]) => code.endsWith(ending))?.[1];
  return told === undefined ? words : `${told} (${code}: ${words.replace(/^[0-9A-F]+:error:/, '').trim()})`;
}
