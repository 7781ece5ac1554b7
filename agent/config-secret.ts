/** Where a secret is found: the file names a variable or another file, and never holds it. */
import { text, type Place } from './config-field.ts';

export type SecretSource = { readonly env: string } | { readonly file: string };

export const environmentName = text(/^[A-Z_][A-Z0-9_]{0,127}$/, 'the NAME_OF_A_VARIABLE');

/** `passwordEnv` or `passwordFile` beside each other: exactly one. */
export function secretOf(
  key: 'password' | 'passphrase' | 'pin',
  { env, file }: { env: string | undefined | null; file: string | undefined | null },
  place: Place,
): SecretSource | null {
  if (env === null || file === null) return null;
  if (env !== undefined && file === undefined) return { env };
  if (file !== undefined && env === undefined) return { file };
  return place.key(`${key}Env`).problem(env, `one of ${key}Env and ${key}File, and not both`);
}
