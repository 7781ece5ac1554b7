/** Where a device's key is kept: in an encrypted file, unless `pkcs11` names a token. */
import { optional, path, record, text, type Field } from './config-field.ts';
import { environmentName, secretOf, type SecretSource } from './config-secret.ts';

export type TokenConfig = {
  readonly kind: 'pkcs11';
  /** The vendor's library, as /usr/lib/softhsm/libsofthsm2.so. */
  readonly module: string;
  /** The token's own label: slots change their numbers, labels stay. */
  readonly token: string;
  /** Given to the key for people to find it; the agent finds it by its device. */
  readonly label: string;
  readonly pin: SecretSource;
};

export type KeyConfig = { readonly kind: 'file' } | TokenConfig;

const pkcs11: Field<TokenConfig> = record(
  {
    module: path,
    // PKCS #11 v2.40 §3.2, CK_TOKEN_INFO: 32 bytes, padded with blanks.
    token: text(/^[\x21-\x7e]([\x20-\x7e]{0,30}[\x21-\x7e])?$/, '1 to 32 printable ASCII characters'),
    label: text(/^[\x21-\x7e]([\x20-\x7e]{0,62}[\x21-\x7e])?$/, '1 to 64 printable ASCII characters'),
    pinEnv: optional(environmentName),
    pinFile: optional(path),
  },
  ({ module, token, label, pinEnv, pinFile }, place) => {
    const pin = secretOf('pin', { env: pinEnv, file: pinFile }, place);
    if (module === null || token === null || label === null || pin === null) return null;
    return { kind: 'pkcs11', module, token, label, pin };
  },
);

export const key: Field<KeyConfig> = record({ pkcs11 }, ({ pkcs11 }) => pkcs11);
